//! What projects may hold, exactly, whoever asks at the same time.

use futures::future::join_all;
use granary_proto::identity::v1::Quota;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    usage::{quota, set, sized},
    world::{World, asset, refused, session_name},
};

async fn limit_objects(world: &World, max_objects: i64) {
    let limits = Quota {
        max_objects,
        ..Quota::default()
    };
    set(world, limits, &["max_objects"]).await.unwrap();
}

#[tokio::test]
async fn fifty_at_once_cannot_pass_a_limit_together() {
    for world in World::each().await {
        limit_objects(&world, 30).await;
        for n in 0..5 {
            world.session(&format!("s{n}"), Default::default()).await;
        }
        let calls = (0..50).map(|n| {
            let (world, session) = (&world, session_name(&format!("s{}", n % 5)));
            async move { world.register(&session, vec![asset(&format!("{n}"))]).await }
        });
        let results = join_all(calls).await;
        let fine = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(fine, 30);
        for status in results.into_iter().filter_map(Result::err) {
            assert_eq!(status.code(), Code::ResourceExhausted);
            let quota = status.get_details_quota_failure().unwrap().violations;
            assert_eq!(quota[0].subject, "projects/default");
            let said = quota[0].description.as_str();
            for part in [
                "may hold 30 assets (max_objects): 30 assets are used",
                "`granary project quota set default --max-objects N`",
            ] {
                assert!(said.contains(part), "{said}");
            }
            let retry = status.get_details_retry_info().unwrap().retry_delay;
            assert_eq!(retry.unwrap().as_secs(), 3600);
        }
        let held = quota(&world).await;
        assert_eq!((held.used_objects, held.used_bytes), (30, 300));
    }
}

#[tokio::test]
async fn two_processes_cannot_pass_a_limit_together() {
    let Some([one, other]) = World::two().await else {
        return;
    };
    one.dataset("default", "raw").await;
    limit_objects(&one, 10).await;
    for n in 0..20 {
        one.session(&format!("s{n}"), Default::default()).await;
    }
    let calls = (0..20).map(|n| {
        let world = if n % 2 == 0 { &one } else { &other };
        let session = session_name(&format!("s{n}"));
        async move { world.register(&session, vec![asset("a")]).await }
    });
    let results = join_all(calls).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(quota(&other).await.used_objects, 10);
}

#[tokio::test]
async fn a_limit_of_bytes_takes_what_fits_exactly() {
    for world in World::each().await {
        let session = world.session("s", Default::default()).await.name;
        let limits = Quota {
            max_bytes: 100,
            ..Quota::default()
        };
        set(&world, limits, &["max_bytes"]).await.unwrap();
        world
            .register(&session, vec![sized("a", 60)])
            .await
            .unwrap();
        let two = vec![sized("b", 40), sized("c", 1)];
        let said = refused(world.register(&session, two).await, Code::ResourceExhausted);
        assert!(
            said.contains("may hold 100 B") && said.contains("40 B are left"),
            "{said}"
        );
        // All or none, and what does not fit leaves room for what does.
        assert_eq!(quota(&world).await.used_objects, 1);
        world
            .register(&session, vec![sized("b", 40)])
            .await
            .unwrap();
        world
            .register(&session, vec![sized("a", 60), sized("empty", 0)])
            .await
            .unwrap();
        refused(
            world.register(&session, vec![sized("d", 1)]).await,
            Code::ResourceExhausted,
        );
        // A limit below what is held refuses what is new and deletes nothing.
        let lower = Quota {
            max_bytes: 1,
            ..Quota::default()
        };
        let lower = set(&world, lower, &["max_bytes"]).await.unwrap();
        assert_eq!((lower.max_bytes, lower.used_bytes), (1, 100));
        refused(
            world.register(&session, vec![sized("d", 1)]).await,
            Code::ResourceExhausted,
        );
        set(&world, Quota::default(), &["max_bytes"]).await.unwrap();
        world.register(&session, vec![sized("d", 1)]).await.unwrap();
    }
}

#[tokio::test]
async fn limits_that_are_not_named_stay() {
    for world in World::each().await {
        let all = Quota {
            max_bytes: 1,
            max_objects: 2,
            max_daily_requests: 3,
            max_daily_job_seconds: 4,
            max_concurrent_jobs: 5,
            ..Quota::default()
        };
        set(&world, all, &[]).await.unwrap();
        let one = Quota {
            max_objects: 20,
            max_bytes: 10,
            ..Quota::default()
        };
        set(&world, one, &["max_objects"]).await.unwrap();
        let now = quota(&world).await;
        let limits = [
            now.max_bytes,
            now.max_objects,
            now.max_daily_requests,
            now.max_daily_job_seconds,
            now.max_concurrent_jobs,
        ];
        assert_eq!(limits, [1, 20, 3, 4, 5]);
    }
}
