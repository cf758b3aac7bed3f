//! What projects hold, use and may.

use std::collections::BTreeSet;

use futures::future::join_all;
use granary_proto::{
    identity::v1::{
        BatchRecordUsageRequest, DailyUsage, GetQuotaRequest, ListDailyUsageRequest, Quota,
        UpdateQuotaRequest, UsageRecord, usage_service_client::UsageServiceClient,
    },
    metadata::v1::Asset,
};
use granary_runtime::{Link, auth::Role};
use prost_types::FieldMask;
use tonic::{Code, Status};

use crate::world::{World, asset, blamed, refused};

const QUOTA: &str = "projects/default/quota";
const TODAY: &str = "2021-03-01";

fn services(world: &World) -> UsageServiceClient<Link> {
    UsageServiceClient::new(world.link("service:job", Role::Service))
}

pub(crate) async fn quota(world: &World) -> Quota {
    let request = GetQuotaRequest { name: QUOTA.into() };
    world.usage().get_quota(request).await.unwrap().into_inner()
}

pub(crate) async fn set(world: &World, quota: Quota, paths: &[&str]) -> Result<Quota, Status> {
    let request = UpdateQuotaRequest {
        quota: Some(Quota {
            name: QUOTA.into(),
            ..quota
        }),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
    };
    let answer = world.usage().update_quota(request).await;
    answer.map(tonic::Response::into_inner)
}

pub(crate) async fn days(
    world: &World,
    first: &str,
    last: &str,
) -> Result<Vec<DailyUsage>, Status> {
    let request = ListDailyUsageRequest {
        parent: "projects/default".into(),
        start_date: first.into(),
        end_date: last.into(),
    };
    let answer = world.usage().list_daily_usage(request).await?;
    Ok(answer.into_inner().days)
}

pub(crate) fn record(id: &str, date: &str, requests: i64, job_seconds: i64) -> UsageRecord {
    UsageRecord {
        id: id.into(),
        project: "projects/default".into(),
        date: date.into(),
        requests,
        job_seconds,
    }
}

pub(crate) async fn tell(world: &World, records: Vec<UsageRecord>) -> Result<Vec<Quota>, Status> {
    let answer = services(world)
        .batch_record_usage(BatchRecordUsageRequest { records })
        .await?;
    Ok(answer.into_inner().quotas)
}

pub(crate) fn sized(path: &str, size_bytes: i64) -> Asset {
    Asset {
        size_bytes,
        ..asset(path)
    }
}

#[tokio::test]
async fn what_is_registered_is_held_and_the_same_again_adds_nothing() {
    for world in World::each().await {
        let session = world.session("s", Default::default()).await.name;
        let assets = vec![sized("a", 10), sized("b", 32)];
        for _ in 0..3 {
            world.register(&session, assets.clone()).await.unwrap();
        }
        let held = quota(&world).await;
        assert_eq!((held.used_bytes, held.used_objects), (42, 2));
        // Declared anew, while its bytes have not arrived.
        let anew = Asset {
            sha256: "0".repeat(64),
            ..sized("b", 2)
        };
        world.register(&session, vec![anew]).await.unwrap();
        let held = quota(&world).await;
        assert_eq!((held.used_bytes, held.used_objects), (12, 2));
        let listed = days(&world, "", "").await.unwrap();
        let expected = DailyUsage {
            date: TODAY.into(),
            held_bytes: 12,
            held_objects: 2,
            added_bytes: 12,
            added_objects: 2,
            ..DailyUsage::default()
        };
        assert_eq!(listed, [expected]);
        let world = world.restart().await;
        assert_eq!(quota(&world).await, held);
    }
}

#[tokio::test]
async fn days_end_at_midnight_and_go_on_holding() {
    for world in World::each().await {
        let session = world.session("s", Default::default()).await.name;
        world
            .register(&session, vec![sized("a", 10)])
            .await
            .unwrap();
        world.clock.advance(time::Duration::hours(11));
        tell(&world, vec![record("r1", TODAY, 3, 0)]).await.unwrap();
        world.clock.advance(time::Duration::hours(37));
        world.register(&session, vec![sized("b", 5)]).await.unwrap();
        tell(&world, vec![record("r2", "2021-03-03", 4, 60)])
            .await
            .unwrap();
        let listed = days(&world, "2021-02-01", "2021-03-10").await.unwrap();
        let seen: Vec<_> = listed
            .iter()
            .map(|day| {
                (
                    day.date.as_str(),
                    day.held_bytes,
                    day.added_bytes,
                    day.requests,
                    day.job_seconds,
                )
            })
            .collect();
        let expected = [
            ("2021-03-01", 10, 10, 3, 0),
            ("2021-03-02", 10, 0, 0, 0),
            ("2021-03-03", 15, 5, 4, 60),
        ];
        assert_eq!(seen, expected);
        // What was before the first day is held on it.
        let later = days(&world, "2021-03-03", "2021-03-03").await.unwrap();
        assert_eq!(later, listed[2..]);
        let now = quota(&world).await;
        assert_eq!(
            (now.used_daily_requests, now.used_daily_job_seconds),
            (4, 60)
        );
        world.clock.advance(time::Duration::days(1));
        let now = quota(&world).await;
        assert_eq!(
            (
                now.used_daily_requests,
                now.used_daily_job_seconds,
                now.used_bytes
            ),
            (0, 0, 15)
        );
    }
}

#[tokio::test]
async fn a_record_counts_once_however_often_it_comes() {
    for world in World::each().await {
        let records = vec![
            record("a", TODAY, 5, 0),
            record("b", TODAY, 0, 7),
            record("a", TODAY, 5, 0),
        ];
        let calls = (0..10).map(|_| tell(&world, records.clone()));
        for quotas in join_all(calls).await {
            let quotas = quotas.unwrap();
            assert_eq!(quotas.len(), 1);
            assert_eq!(
                (
                    quotas[0].used_daily_requests,
                    quotas[0].used_daily_job_seconds
                ),
                (5, 7)
            );
        }
        let world = world.restart().await;
        let again = tell(
            &world,
            vec![record("a", TODAY, 5, 0), record("c", TODAY, 1, 0)],
        )
        .await;
        assert_eq!(again.unwrap()[0].used_daily_requests, 6);
        // A job that was away for months tells the same again.
        world.clock.advance(time::Duration::days(100));
        world.metadata.tick().await.unwrap();
        tell(&world, vec![record("b", TODAY, 0, 7)]).await.unwrap();
        let listed = days(&world, TODAY, TODAY).await.unwrap();
        assert_eq!((listed[0].requests, listed[0].job_seconds), (6, 7));
    }
}

#[tokio::test]
async fn records_of_projects_that_do_not_exist_count_nowhere() {
    for world in World::each().await {
        let stray = UsageRecord {
            project: "projects/nowhere".into(),
            ..record("s", TODAY, 9, 9)
        };
        let asking = record("zero", TODAY, 0, 0);
        let quotas = tell(&world, vec![stray, asking]).await.unwrap();
        let names: BTreeSet<_> = quotas.iter().map(|quota| quota.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from([QUOTA]));
        assert!(days(&world, "", "").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn each_project_gets_the_quota_that_is_its_own() {
    for world in World::each().await {
        for id in ["other", "third"] {
            world.project(id).await;
        }
        let of = |project: &str, id: &str, requests| UsageRecord {
            project: format!("projects/{project}"),
            ..record(id, TODAY, requests, 0)
        };
        let yesterday = record("y", "2021-02-28", 100, 0);
        let sent = vec![of("third", "t", 0), yesterday, of("other", "o", 7)];
        let quotas = tell(&world, sent).await.unwrap();
        let used: Vec<_> = quotas
            .iter()
            .map(|quota| (quota.name.as_str(), quota.used_daily_requests))
            .collect();
        let expected = [
            (QUOTA, 0),
            ("projects/other/quota", 7),
            ("projects/third/quota", 0),
        ];
        assert_eq!(used, expected);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_named() {
    for world in World::each().await {
        let negative = Quota {
            max_objects: -1,
            ..Quota::default()
        };
        assert_eq!(
            blamed(set(&world, negative.clone(), &["max_objects"]).await),
            "quota.max_objects"
        );
        assert_eq!(
            blamed(set(&world, negative.clone(), &[]).await),
            "quota.max_objects"
        );
        set(&world, negative, &["max_bytes"]).await.unwrap();
        assert_eq!(
            blamed(set(&world, Quota::default(), &["used_bytes"]).await),
            "update_mask.paths[0]"
        );
        assert_eq!(blamed(days(&world, "yesterday", "").await), "start_date");
        assert_eq!(blamed(days(&world, "", "2021-02-30").await), "end_date");
        assert_eq!(
            blamed(days(&world, "2021-03-02", "2021-03-01").await),
            "start_date"
        );
        assert_eq!(
            blamed(days(&world, "2020-02-29", "2021-03-01").await),
            "start_date"
        );
        days(&world, "2020-03-01", "2021-03-01").await.unwrap();
        for (wrong, field) in [
            (record("", TODAY, 1, 0), "records[1].id"),
            (record(&"x".repeat(65), TODAY, 1, 0), "records[1].id"),
            (record("i", "today", 1, 0), "records[1].date"),
            (record("i", TODAY, -1, 0), "records[1].requests"),
            (record("i", TODAY, 0, -1), "records[1].job_seconds"),
            (
                UsageRecord {
                    project: "p".into(),
                    ..record("i", TODAY, 1, 0)
                },
                "records[1].project",
            ),
        ] {
            let sent = tell(&world, vec![record("fine", TODAY, 1, 0), wrong]).await;
            assert_eq!(blamed(sent), field);
        }
        assert_eq!(blamed(tell(&world, vec![]).await), "records");
        let request = GetQuotaRequest {
            name: "projects/default".into(),
        };
        assert_eq!(blamed(world.usage().get_quota(request).await), "name");
        let request = GetQuotaRequest {
            name: "projects/nowhere/quota".into(),
        };
        refused(world.usage().get_quota(request).await, Code::NotFound);
        let request = UpdateQuotaRequest {
            quota: Some(Quota {
                name: "projects/nowhere/quota".into(),
                ..Quota::default()
            }),
            update_mask: None,
        };
        refused(world.usage().update_quota(request).await, Code::NotFound);
    }
}
