//! What is kept and counted when there is little time, or too much comes.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

impl World {
    /// The calls that were counted, each record once.
    fn counted(&self) -> i64 {
        let calls = self.fake.usage.lock();
        let records = calls.iter().flatten();
        let by_id: BTreeMap<_, _> = records.map(|r| (&r.id, r.requests)).collect();
        by_id.values().sum()
    }

    async fn created(&self, parent: &str) {
        whole(self.serving(|| answer(Code::Ok)), self.create(parent)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn projects_that_take_turns_cost_one_round_a_period() {
    let world = World::start();
    for _ in 0..50 {
        for project in ["projects/p", "projects/q"] {
            world.created(project).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    // Ten seconds are five periods; each project's limit was asked for at its first call.
    let rounds = world.fake.usage.lock().len();
    assert!((5..=8).contains(&rounds), "{rounds}");
    world.ledger.flush().await;
    assert_eq!(world.counted(), 100);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_loses_no_count_at_the_end() {
    let world = World::start();
    world.fake.mute_about_usage.store(1, Ordering::SeqCst);
    world.created("projects/first").await;
    world.fake.taken.notified().await;
    for n in 0..2500 {
        world.created(&format!("projects/p{n}")).await;
    }
    assert!(world.tasks.drain(Duration::from_secs(15)).await);
    assert_eq!(world.counted(), 2501);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_loses_no_entry_at_the_end() {
    let world = World::start();
    world.fake.mute_about_entries.store(1, Ordering::SeqCst);
    world.created("projects/p").await;
    world.fake.taken.notified().await;
    for _ in 0..1200 {
        world.created("projects/p").await;
    }
    assert!(world.tasks.drain(Duration::from_secs(15)).await);
    let entries = world.fake.entries.lock();
    let ids: BTreeSet<_> = entries.iter().map(|entry| &entry.id).collect();
    assert_eq!(ids.len(), 1201);
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_who_never_answers() {
    let world = World::start();
    world
        .fake
        .mute_about_entries
        .store(usize::MAX, Ordering::SeqCst);
    world
        .fake
        .mute_about_usage
        .store(usize::MAX, Ordering::SeqCst);
    for _ in 0..3000 {
        world.created("projects/p").await;
    }
    assert!(world.tasks.drain(Duration::from_secs(15)).await);
}

#[tokio::test(start_paused = true)]
async fn a_flood_without_tokens_hides_nobodys_refusals() {
    let world = World::start();
    for _ in 0..1100 {
        let mut stranger = world.create("projects/p");
        stranger.headers_mut().remove("authorization");
        whole(world.serving(|| answer(Code::Ok)), stranger).await;
    }
    let refused = || Status::permission_denied("no").into_http();
    whole(world.serving(refused), world.get("projects/p/datasets/d")).await;
    let stored = world.stored().await;
    assert_eq!(stored.len(), 1001);
    assert_eq!(
        stored.last(),
        Some(&ada(Code::PermissionDenied, AuditVerdict::Denied))
    );
}
