//! What one would bill from: exact while many register at once, and what one reckons by hand.

use std::collections::BTreeMap;

use granary_proto::{
    identity::v1::{DailyUsage, Quota},
    metadata::v1::{Asset, AssetEvent, BatchCreateAssetsRequest},
};
use tonic::{Code, Status};

use crate::{
    usage::{days, quota, record, set, sized, tell},
    world::{World, session_name},
};

async fn limit(world: &World, max_bytes: i64, max_objects: i64) {
    let limits = Quota {
        max_bytes,
        max_objects,
        ..Quota::default()
    };
    set(world, limits, &["max_bytes", "max_objects"])
        .await
        .unwrap();
}

/// Registers each asset in a session of its own, in tasks that run beside each other, by turns in each of the processes. What was let in.
#[allow(
    clippy::disallowed_methods,
    reason = "tasks of a test's own, which it awaits"
)]
async fn all_at_once(worlds: &[&World], assets: &[Asset]) -> Vec<Asset> {
    for n in 0..assets.len() {
        worlds[0]
            .session(&format!("s{n}"), Default::default())
            .await;
    }
    let calls = assets.iter().enumerate().map(|(n, asset)| {
        let mut client = worlds[n % worlds.len()].service_assets();
        let request = BatchCreateAssetsRequest {
            parent: session_name(&format!("s{n}")),
            assets: vec![asset.clone()],
        };
        tokio::spawn(async move { client.batch_create_assets(request).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut fine = Vec::new();
    for (call, asset) in calls.into_iter().zip(assets) {
        match call.await.unwrap() {
            Ok(_) => fine.push(asset.clone()),
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
        }
    }
    fine
}

fn of_many_sizes() -> Vec<Asset> {
    let sizes = (0..60).map(|n| 1 + n * 37 % 50);
    sizes.map(|size| sized(&format!("{size}"), size)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bytes_are_exact_however_many_register_at_once() {
    for world in World::each().await {
        let assets = of_many_sizes();
        limit(&world, 500, 0).await;
        let fine = all_at_once(&[&world], &assets).await;
        let bytes: i64 = fine.iter().map(|asset| asset.size_bytes).sum();
        // What was refused did not fit: at the end less is left than the largest one takes.
        assert!((451..=500).contains(&bytes), "{bytes}");
        let held = quota(&world).await;
        let count = i64::try_from(fine.len()).unwrap();
        assert_eq!((held.used_bytes, held.used_objects), (bytes, count));
        let listed = days(&world, "", "").await.unwrap();
        assert_eq!(
            (listed[0].held_bytes, listed[0].added_objects),
            (bytes, count)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn objects_are_exact_however_many_register_at_once() {
    for world in World::each().await {
        limit(&world, 0, 17).await;
        let fine = all_at_once(&[&world], &of_many_sizes()).await;
        let held = quota(&world).await;
        assert_eq!((fine.len(), held.used_objects), (17, 17));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bytes_and_objects_are_exact_in_two_processes_together() {
    let Some([one, other]) = World::two().await else {
        return;
    };
    one.dataset("default", "raw").await;
    let assets: Vec<_> = (0..60).map(|n| sized(&format!("{n}"), 7)).collect();
    limit(&one, 100, 13).await;
    let fine = all_at_once(&[&one, &other], &assets).await;
    let held = quota(&other).await;
    assert_eq!((fine.len(), held.used_objects), (13, 13));
    assert_eq!(held.used_bytes, 13 * 7);
    limit(&one, 100, 0).await;
    let more = all_at_once_again(&[&one, &other], &assets).await;
    assert_eq!(more.unwrap(), 14);
    assert_eq!(quota(&one).await.used_bytes, 98);
}

/// The same once more, in the sessions that are there: what was let in before is no addition.
async fn all_at_once_again(worlds: &[&World], assets: &[Asset]) -> Result<usize, Status> {
    let calls = assets.iter().enumerate().map(|(n, asset)| {
        let world = worlds[n % worlds.len()];
        let session = session_name(&format!("s{n}"));
        async move { world.register(&session, vec![asset.clone()]).await }
    });
    let results = futures::future::join_all(calls).await;
    let mut fine = 0;
    for result in results {
        match result {
            Err(status) if status.code() != Code::ResourceExhausted => return Err(status),
            result => fine += usize::from(result.is_ok()),
        }
    }
    Ok(fine)
}

/// A bill that is kept by hand: what was added on each day, and what that makes at its end.
#[derive(Default)]
struct ByHand(BTreeMap<String, [i64; 4]>);

impl ByHand {
    fn add(&mut self, date: &str, [bytes, objects, requests, seconds]: [i64; 4]) {
        let day = self.0.entry(date.into()).or_default();
        *day = [
            day[0] + bytes,
            day[1] + objects,
            day[2] + requests,
            day[3] + seconds,
        ];
    }

    fn days(&self) -> Vec<DailyUsage> {
        let (mut held_bytes, mut held_objects) = (0, 0);
        let days = self
            .0
            .iter()
            .map(|(date, [bytes, objects, requests, seconds])| {
                held_bytes += bytes;
                held_objects += objects;
                DailyUsage {
                    date: date.clone(),
                    held_bytes,
                    held_objects,
                    added_bytes: *bytes,
                    added_objects: *objects,
                    requests: *requests,
                    job_seconds: *seconds,
                }
            });
        days.collect()
    }
}

#[tokio::test]
async fn a_bill_is_what_one_reckons_by_hand() {
    for world in World::each().await {
        let mut bill = ByHand::default();
        // From noon: two files, one of which fails its checks and is held all the same.
        let session = world.session("s", Default::default()).await.name;
        let files = vec![sized("a", 1_000_003), sized("b", 17)];
        let made = world.register(&session, files).await.unwrap();
        bill.add("2021-03-01", [1_000_020, 2, 0, 0]);
        world
            .tell(&[made[0].name.clone()], AssetEvent::Stored)
            .await;
        world
            .tell(&[made[0].name.clone()], AssetEvent::Refused)
            .await;
        // The last call before midnight is told after it, and so is what an attempt took that ended with the day.
        world.clock.advance(time::Duration::hours(12));
        let late = vec![
            record("r1", "2021-03-01", 41, 0),
            record("j1", "2021-03-01", 0, 3600),
            record("r2", "2021-03-02", 2, 0),
        ];
        tell(&world, late).await.unwrap();
        bill.add("2021-03-01", [0, 0, 41, 3600]);
        bill.add("2021-03-02", [0, 0, 2, 0]);
        // A file that is declared anew, smaller; nothing at all on the third; a call on the fourth that is told twice.
        let smaller = Asset {
            sha256: "0".repeat(64),
            ..sized("b", 5)
        };
        world.register(&session, vec![smaller]).await.unwrap();
        bill.add("2021-03-02", [-12, 0, 0, 0]);
        bill.add("2021-03-03", [0, 0, 0, 0]);
        world.clock.advance(time::Duration::days(2));
        for _ in 0..2 {
            let told = vec![record("r3", "2021-03-04", 1, 0)];
            tell(&world, told).await.unwrap();
        }
        bill.add("2021-03-04", [0, 0, 1, 0]);
        let listed = days(&world, "2021-03-01", "2021-03-31").await.unwrap();
        assert_eq!(listed, bill.days());
        // The bytes of a month's days together: what one bills for holding them.
        let byte_days: i64 = listed.iter().map(|day| day.held_bytes).sum();
        assert_eq!(byte_days, 1_000_020 + 3 * 1_000_008);
    }
}
