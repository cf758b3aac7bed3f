use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use futures::future::join_all;
use granary_proto::{
    identity::v1::Quota,
    job::v1::{FailureClass, Job, JobState, Lease},
};

use crate::world::{LEASE, World, failure, name, on_both, plenty, request, success};

const QUOTA: &str = "projects/default/quota";

/// Limits a project, and has the service learn it.
async fn limit(world: &World, quota: Quota) {
    world.metadata.quotas.lock().insert(QUOTA.into(), quota);
    world.jobs.tick().await.unwrap();
}

fn concurrent(max_concurrent_jobs: i64) -> Quota {
    Quota {
        max_concurrent_jobs,
        ..Quota::default()
    }
}

fn seconds(max_daily_job_seconds: i64) -> Quota {
    Quota {
        max_daily_job_seconds,
        ..Quota::default()
    }
}

/// The seconds that were told, by day, each record once.
fn told(world: &World) -> Vec<(String, i64)> {
    let recorded = world.metadata.recorded.lock();
    let mut seen = BTreeSet::new();
    let new = recorded.iter().filter(|record| seen.insert(&record.id));
    new.map(|record| (record.date.clone(), record.job_seconds))
        .collect()
}

async fn submit(world: &World, count: usize) {
    for n in 0..count {
        world.submit(&format!("j{n}")).await;
    }
}

on_both! {
    async fn no_more_jobs_run_at_the_same_time_than_may(world: World) {
        world.catalog().await;
        submit(&world, 10).await;
        limit(&world, concurrent(3)).await;
        for n in 0..8 {
            world.register(&format!("w{n}")).await;
        }
        let names: Vec<_> = (0..8).map(|n| format!("w{n}")).collect();
        let claims = names.iter().map(|name| world.acquire(name, 5));
        let leases: Vec<Lease> = join_all(claims).await.into_iter().flatten().collect();
        assert_eq!(leases.len(), 3);
        let waiting = world.get("projects/default/jobs/j9").await;
        assert_eq!(waiting.state(), JobState::Queued);
        let reason = waiting.wait_reason;
        assert!(reason.starts_with("3 of 3 jobs of its project run (max_concurrent_jobs): "), "{reason}");
        assert!(reason.contains("`granary project quota set default --max-concurrent-jobs N`"), "{reason}");
        let mut worker = world.get(&name(&leases[0])).await.attempts.pop().unwrap().worker;
        worker = worker.trim_start_matches("workers/").to_owned();
        world.finish(&worker, success(&leases[0])).await.unwrap();
        assert_eq!(world.get("projects/default/jobs/j9").await.wait_reason, "");
        assert_eq!(world.acquire("w0", 5).await.len(), 1);
    }

    async fn who_waits_for_a_job_is_woken_when_one_may_start(world: World) {
        world.catalog().await;
        submit(&world, 2).await;
        limit(&world, concurrent(1)).await;
        world.register("w").await;
        let lease = world.acquire("w", 2).await.pop().unwrap();
        let patience = Duration::from_secs(50);
        let (next, _) = tokio::join!(
            world.acquire_within("w", 2, plenty(), patience),
            world.finish("w", success(&lease)),
        );
        assert_eq!(next.len(), 1);
    }

    async fn a_project_that_runs_all_it_may_does_not_hold_up_others(world: World) {
        world.catalog().await;
        submit(&world, 6).await;
        world.metadata.quotas.lock().insert("projects/other/quota".into(), Quota::default());
        for n in 0..3 {
            let mut other = request(Job::default());
            (other.parent, other.job_id) = ("projects/other".into(), format!("o{n}"));
            world.create(other).await.unwrap();
        }
        limit(&world, concurrent(1)).await;
        world.register("w").await;
        let leases = world.acquire("w", 4).await;
        let projects: Vec<_> = leases.iter().map(|lease| name(lease).contains("other")).collect();
        assert_eq!(projects, [false, true, true, true]);
    }

    async fn many_projects_that_run_all_they_may_do_not_hold_up_others(world: World) {
        world.catalog().await;
        world.register("w").await;
        let create = async |project: String, id: &str| {
            let name = format!("projects/{project}");
            world.metadata.quotas.lock().entry(format!("{name}/quota")).or_insert(concurrent(1));
            let mut one = request(Job::default());
            (one.parent, one.job_id) = (name, id.into());
            world.create(one).await.unwrap();
        };
        for n in 0..9 {
            create(format!("p{n}"), "first").await;
        }
        world.jobs.tick().await.unwrap();
        assert_eq!(world.acquire("w", 50).await.len(), 9);
        for n in 0..9 {
            create(format!("p{n}"), "waits").await;
        }
        create("free".into(), "a").await;
        create("free".into(), "b").await;
        world.submit("last").await;
        world.jobs.tick().await.unwrap();
        let names: Vec<_> = world.acquire("w", 3).await.iter().map(name).collect();
        assert_eq!(names, ["projects/free/jobs/a", "projects/default/jobs/last"]);
        assert!(world.acquire("w", 3).await.is_empty());
    }

    async fn a_raised_limit_counts_and_a_lowered_one_stops_nothing(world: World) {
        world.catalog().await;
        submit(&world, 5).await;
        limit(&world, concurrent(3)).await;
        world.register("w").await;
        assert_eq!(world.acquire("w", 9).await.len(), 3);
        limit(&world, concurrent(1)).await;
        assert!(world.acquire("w", 9).await.is_empty());
        assert_eq!(world.state("projects/default/jobs/j0").await, JobState::Assigned);
        limit(&world, concurrent(0)).await;
        assert_eq!(world.acquire("w", 9).await.len(), 2);
    }

    async fn what_is_remembered_is_not_written_over_what_was_learned(world: World) {
        world.catalog().await;
        world.submit("first").await;
        limit(&world, concurrent(1)).await;
        world.submit("second").await;
        world.register("w").await;
        assert_eq!(world.acquire("w", 9).await.len(), 1);
    }

    async fn two_processes_agree_on_a_limit_that_was_set_back(world: World) {
        world.catalog().await;
        submit(&world, 5).await;
        limit(&world, concurrent(1)).await;
        let first = world.jobs.clone();
        let world = world.restart().await;
        limit(&world, concurrent(3)).await;
        world.metadata.quotas.lock().insert(QUOTA.into(), concurrent(1));
        first.tick().await.unwrap();
        world.register("w").await;
        assert_eq!(world.acquire("w", 9).await.len(), 1);
    }

    async fn limits_are_learned_while_what_is_owed_cannot_be_told(world: World) {
        world.catalog().await;
        world.register("w").await;
        world.metadata.takes_no_records.store(true, Ordering::Relaxed);
        let lease = world.running("j", "w").await;
        world.clock.advance(time::Duration::seconds(9));
        world.finish("w", success(&lease)).await.unwrap();
        submit(&world, 3).await;
        world.metadata.quotas.lock().insert(QUOTA.into(), concurrent(1));
        assert!(world.jobs.tick().await.is_err());
        assert_eq!(world.acquire("w", 9).await.len(), 1);
        world.metadata.takes_no_records.store(false, Ordering::Relaxed);
        world.jobs.tick().await.unwrap();
        assert_eq!(told(&world), [("2023-11-14".to_owned(), 9)]);
    }

    async fn limits_of_many_projects_are_asked_for_at_once(world: World) {
        world.catalog().await;
        for n in 0..20 {
            let name = format!("projects/p{n}");
            world.metadata.quotas.lock().insert(format!("{name}/quota"), Quota::default());
            let mut one = request(Job::default());
            one.parent = name;
            world.create(one).await.unwrap();
        }
        let asked = || world.metadata.times("BatchRecordUsage") + world.metadata.times("GetQuota");
        let before = asked();
        world.jobs.tick().await.unwrap();
        // What the service does by itself may ask, too.
        assert!((1..=2).contains(&(asked() - before)));
    }

    async fn limits_hold_after_a_restart_while_nobody_tells_them(world: World) {
        world.catalog().await;
        submit(&world, 2).await;
        limit(&world, concurrent(1)).await;
        let world = world.restart().await;
        world.metadata.quotas.lock().clear();
        world.register("w").await;
        assert_eq!(world.acquire("w", 9).await.len(), 1);
    }

    async fn attempts_are_told_with_their_seconds_however_they_end(world: World) {
        world.catalog().await;
        world.register("w").await;
        let good = world.running("good", "w").await;
        world.pass(Duration::from_millis(2500)).await;
        world.finish("w", success(&good)).await.unwrap();
        let bad = world.running("bad", "w").await;
        world.pass(Duration::from_secs(7)).await;
        world.finish("w", failure(&bad, FailureClass::Application)).await.unwrap();
        world.running("lost", "w").await;
        world.pass(LEASE).await;
        world.jobs.tick().await.unwrap();
        let day = "2023-11-14".to_owned();
        let mut told = told(&world);
        told.sort();
        let expected = [3, 7, 30].map(|seconds| (day.clone(), seconds));
        assert_eq!(told, expected);
    }

    async fn what_was_not_answered_is_told_again_with_the_same_ids(world: World) {
        world.catalog().await;
        world.register("w").await;
        world.metadata.forgets_to_answer.store(true, Ordering::Relaxed);
        let lease = world.running("j", "w").await;
        world.clock.advance(time::Duration::seconds(9));
        world.finish("w", success(&lease)).await.unwrap();
        // What the service does by itself may have been first.
        while world.metadata.forgets_to_answer.load(Ordering::Relaxed) {
            let _ = world.jobs.tick().await;
        }
        let world = world.restart().await;
        world.jobs.tick().await.unwrap();
        assert!(world.metadata.recorded.lock().len() >= 2, "it is told again");
        assert_eq!(told(&world), [("2023-11-14".to_owned(), 9)]);
        let before = world.metadata.recorded.lock().len();
        world.jobs.tick().await.unwrap();
        assert_eq!(world.metadata.recorded.lock().len(), before, "what arrived is not told again");
    }

    async fn a_project_that_had_its_seconds_goes_on_tomorrow(world: World) {
        world.catalog().await;
        world.submit("a").await;
        world.submit("b").await;
        world.submit("c").await;
        limit(&world, seconds(20)).await;
        world.register("w").await;
        let lease = world.acquire("w", 1).await.pop().unwrap();
        world.pass(Duration::from_secs(12)).await;
        world.finish("w", success(&lease)).await.unwrap();
        let lease = world.acquire("w", 1).await.pop().unwrap();
        world.pass(Duration::from_secs(8)).await;
        // Twelve that ended and eight that run.
        assert!(world.acquire("w", 1).await.is_empty());
        let waiting = world.get("projects/default/jobs/c").await;
        assert!(waiting.wait_reason.contains("took 20 of 20 seconds today"), "{}", waiting.wait_reason);
        assert_eq!(world.finish("w", success(&lease)).await.unwrap(), JobState::Succeeded);
        assert!(world.acquire("w", 1).await.is_empty());
        // The clock shows 22:13:40 or later.
        world.pass(Duration::from_secs(2 * 3600)).await;
        world.register("w").await;
        assert_eq!(world.acquire("w", 1).await.len(), 1);
    }
}
