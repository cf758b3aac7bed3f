//! Sessions.

use std::collections::BTreeMap;

use futures::future::join_all;
use granary_core::value::Value;
use granary_proto::metadata::v1::{
    AssetEvent, CompleteSessionRequest, CreateSessionRequest, FinishSessionRequest,
    GetSessionRequest, ListSessionsRequest, Messages, Session, SessionState,
};
use tonic::Code;

use crate::world::{DATASET, World, asset, attributes, blamed, refused, session_name};

#[tokio::test]
async fn a_session_comes_back_as_it_was_opened() {
    for world in World::each().await {
        let given = attributes([
            ("fatigue", Value::Number(3.7)),
            ("tenth", Value::Number(0.1 + 0.2)),
            ("hardware_model", Value::from("X2")),
            ("looks_like_time", Value::from("2021-02-28T16:12:21Z")),
            ("left_handed", Value::Boolean(true)),
            ("at", Value::infer("2021-02-28T16:12:21.5+02:00")),
            ("größe", Value::from("é\u{301}\n\"'\\ 100%")),
        ]);
        let session = Session {
            attributes: given.clone(),
            metadata_path: "metadata.txt".into(),
            derived_from: vec!["projects/default/datasets/raw/sessions/s0".into()],
            producer: "projects/default/jobs/j1".into(),
            ..Default::default()
        };
        let request = CreateSessionRequest {
            parent: DATASET.into(),
            session: Some(session),
            session_id: "20210229_161221".into(),
            ..Default::default()
        };
        let made = world
            .sessions()
            .create_session(request)
            .await
            .unwrap()
            .into_inner();
        let read = world
            .sessions()
            .get_session(GetSessionRequest {
                name: made.name.clone(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(read, made);
        assert_eq!(made.attributes, given);
        assert_eq!(made.state(), SessionState::Open);
        assert_eq!(made.uri, "s3://granary-raw/default/raw/20210229_161221/");
        assert_eq!(
            (made.metadata_path.as_str(), made.derived_from.len()),
            ("metadata.txt", 1)
        );
        assert!(
            made.create_time.is_some()
                && made.complete_time.is_none()
                && made.finish_time.is_none()
        );
        let world = world.restart().await;
        let again = world
            .sessions()
            .get_session(GetSessionRequest {
                name: made.name.clone(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(again, made, "after a restart");
    }
}

#[tokio::test]
async fn a_hundred_openings_of_one_session_make_one() {
    for world in World::each().await {
        let calls =
            (0..100).map(|_| world.try_session("s1", attributes([("run", Value::Number(1.0))])));
        let sessions: Vec<_> = join_all(calls)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(sessions.iter().all(|session| *session == sessions[0]));
        let request = ListSessionsRequest {
            parent: DATASET.into(),
            ..Default::default()
        };
        assert_eq!(
            world
                .sessions()
                .list_sessions(request)
                .await
                .unwrap()
                .into_inner()
                .sessions
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn many_sessions_opened_at_once_are_all_there_and_one_bad_call_fails_alone() {
    for world in World::each().await {
        let calls = (0..300).map(|i| {
            let world = &world;
            async move {
                let mut request = CreateSessionRequest {
                    parent: DATASET.into(),
                    session_id: format!("s{i}"),
                    ..Default::default()
                };
                if i == 7 {
                    request.parent = "projects/default/datasets/nowhere".into();
                }
                world.sessions().create_session(request).await
            }
        });
        for (i, result) in join_all(calls).await.into_iter().enumerate() {
            match i {
                7 => drop(refused(result, Code::NotFound)),
                _ => assert_eq!(
                    result.unwrap().into_inner().name,
                    session_name(&format!("s{i}"))
                ),
            }
        }
    }
}

#[tokio::test]
async fn an_open_session_takes_new_attributes_and_a_completed_one_only_the_same() {
    for world in World::each().await {
        let first = attributes([("a", Value::Number(1.0)), ("b", Value::Number(1.0))]);
        world.session("s1", first).await;
        let merged = world
            .session(
                "s1",
                attributes([("b", Value::Number(2.0)), ("c", Value::from("x"))]),
            )
            .await;
        let all = attributes([
            ("a", Value::Number(1.0)),
            ("b", Value::Number(2.0)),
            ("c", Value::from("x")),
        ]);
        assert_eq!(merged.attributes, all);
        world.complete(&merged.name).await.unwrap();
        assert_eq!(
            world.session("s1", all).await.state(),
            SessionState::Completed
        );
        assert_eq!(
            world.session("s1", attributes([])).await.state(),
            SessionState::Completed
        );
        let error = refused(
            world
                .try_session("s1", attributes([("b", Value::Number(1.0))]))
                .await,
            Code::AlreadyExists,
        );
        assert!(error.contains("\"b\""), "{error}");
    }
}

#[tokio::test]
async fn what_pipelines_add_does_not_hinder_opening_it_again_alike() {
    for world in World::each().await {
        let given = attributes([("fatigue", Value::Number(3.0))]);
        let name = world.session("s1", given.clone()).await.name;
        world.complete(&name).await.unwrap();
        let added = attributes([
            ("fatigue", Value::Number(4.0)),
            ("quality", Value::from("good")),
        ]);
        world
            .finish(FinishSessionRequest {
                name,
                attributes: added.clone(),
                ..Default::default()
            })
            .await
            .unwrap();
        let again = world.session("s1", given).await;
        assert_eq!(
            (again.state(), again.attributes),
            (SessionState::Processed, added)
        );
    }
}

#[tokio::test]
async fn a_session_completes_once_everything_is_uploaded() {
    for world in World::each().await {
        let name = world.session("s1", attributes([])).await.name;
        let assets = world
            .register(&name, vec![asset("a.bin"), asset("b.bin")])
            .await
            .unwrap();
        let error = refused(world.complete(&name).await, Code::FailedPrecondition);
        assert!(
            error.contains("2 of its assets") && error.contains("\"a.bin\""),
            "{error}"
        );
        let names: Vec<_> = assets.into_iter().map(|asset| asset.name).collect();
        world.tell(&names, AssetEvent::Stored).await;
        let counted = |count| CompleteSessionRequest {
            name: name.clone(),
            asset_count: count,
        };
        let error = refused(
            world.sessions().complete_session(counted(3)).await,
            Code::FailedPrecondition,
        );
        assert!(error.contains("2 assets, not 3"), "{error}");
        let done = world
            .sessions()
            .complete_session(counted(2))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (done.state(), done.asset_count, done.size_bytes),
            (SessionState::Completed, 2, 20)
        );
        assert!(done.complete_time.is_some());
        assert_eq!(
            world.complete(&name).await.unwrap(),
            done,
            "completing again changes nothing"
        );
        let error = refused(
            world.register(&name, vec![asset("late.bin")]).await,
            Code::FailedPrecondition,
        );
        assert!(error.contains("late.bin"), "{error}");
        assert_eq!(
            world.register(&name, vec![asset("a.bin")]).await.unwrap()[0].path,
            "a.bin",
            "known ones are returned"
        );
    }
}

#[tokio::test]
async fn finishing_makes_what_nobody_judged_ready() {
    for world in World::each().await {
        let name = world.session("s1", attributes([])).await.name;
        let finish = FinishSessionRequest {
            name: name.clone(),
            ..Default::default()
        };
        refused(world.finish(finish.clone()).await, Code::FailedPrecondition);
        let assets = world
            .register(&name, vec![asset("a"), asset("b"), asset("c")])
            .await
            .unwrap();
        let names: Vec<_> = assets.into_iter().map(|asset| asset.name).collect();
        world.tell(&names, AssetEvent::Stored).await;
        world.tell(&names[1..2], AssetEvent::Checking).await;
        world.tell(&names[2..], AssetEvent::Accepted).await;
        world.complete(&name).await.unwrap();
        let done = world.finish(finish.clone()).await.unwrap();
        assert_eq!(
            (done.state(), done.ready_count, done.rejected_count),
            (SessionState::Processed, 3, 0)
        );
        assert_eq!(world.find("state = READY").await.unwrap(), ["a", "b", "c"]);
        assert_eq!(
            world.finish(finish).await.unwrap(),
            done,
            "finishing again changes nothing"
        );
    }
}

#[tokio::test]
async fn the_first_finish_counts_and_attributes_stay_bounded() {
    for world in World::each().await {
        let many = |prefix: &str, count: usize| {
            let each = (0..count).map(|i| (format!("{prefix}{i}"), Value::Boolean(true)));
            granary_proto::convert::wire_attributes(each.collect())
        };
        let name = world.session("s1", many("a", 600)).await.name;
        world.complete(&name).await.unwrap();
        let finish = |attributes| FinishSessionRequest {
            name: name.clone(),
            attributes,
            ..Default::default()
        };
        assert_eq!(
            blamed(world.finish(finish(many("b", 401))).await),
            "attributes"
        );
        let done = world.finish(finish(many("b", 400))).await.unwrap();
        assert_eq!(
            (done.state(), done.attributes.len()),
            (SessionState::Processed, 1000)
        );
        let errors = BTreeMap::from([("late".into(), Messages::default())]);
        let late = FinishSessionRequest {
            errors,
            ..finish(many("c", 1))
        };
        assert_eq!(world.finish(late).await.unwrap(), done);
    }
}

#[tokio::test]
async fn a_rejected_asset_or_an_error_makes_a_session_fail() {
    for world in World::each().await {
        let name = world.session("s1", attributes([])).await.name;
        let assets = world
            .register(&name, vec![asset("a"), asset("b")])
            .await
            .unwrap();
        let names: Vec<_> = assets.into_iter().map(|asset| asset.name).collect();
        world.tell(&names, AssetEvent::Stored).await;
        world.tell(&names[..1], AssetEvent::Refused).await;
        world.complete(&name).await.unwrap();
        let done = world
            .finish(FinishSessionRequest {
                name,
                ..Default::default()
            })
            .await
            .unwrap();
        assert_eq!(
            (done.state(), done.ready_count, done.rejected_count),
            (SessionState::Failed, 1, 1)
        );

        let name = world.session("s2", attributes([])).await.name;
        world.complete(&name).await.unwrap();
        let errors = BTreeMap::from([(
            "session".into(),
            Messages {
                messages: vec!["a.bin is missing".into()],
            },
        )]);
        let done = world
            .finish(FinishSessionRequest {
                name,
                errors: errors.clone(),
                ..Default::default()
            })
            .await
            .unwrap();
        assert_eq!((done.state(), done.errors), (SessionState::Failed, errors));
    }
}

#[tokio::test]
async fn sessions_are_found_by_filters_the_newest_first() {
    for world in World::each().await {
        world.dataset("default", "other").await;
        for (id, fatigue) in [("s1", 1.0), ("s2", 5.0), ("s3", 4.0)] {
            world
                .session(id, attributes([("fatigue", Value::Number(fatigue))]))
                .await;
            world.clock.advance(time::Duration::seconds(1));
        }
        world.complete(&session_name("s2")).await.unwrap();
        let find = async |parent: &str, filter: &str| {
            let request = ListSessionsRequest {
                parent: parent.into(),
                filter: filter.into(),
                ..Default::default()
            };
            let found = world
                .sessions()
                .list_sessions(request)
                .await?
                .into_inner()
                .sessions;
            Ok(found
                .into_iter()
                .map(|s| s.name.rsplit('/').next().unwrap().to_owned())
                .collect::<Vec<_>>())
        };
        for (filter, expected) in [
            ("", &["s3", "s2", "s1"][..]),
            ("attributes.fatigue > 3", &["s3", "s2"]),
            ("state = COMPLETED", &["s2"]),
            ("state != SESSION_STATE_COMPLETED", &["s3", "s1"]),
            ("session = s1 OR session = \"s3\"", &["s3", "s1"]),
            ("create_time >= 2021-03-01T12:00:01Z", &["s3", "s2"]),
            ("complete_time:*", &["s2"]),
            ("NOT complete_time > 2000-01-01T00:00:00Z", &["s3", "s1"]),
            ("asset_count = 0 size_bytes < 1", &["s3", "s2", "s1"]),
            ("dataset = other", &[]),
        ] {
            assert_eq!(
                find(DATASET, filter).await.unwrap(),
                expected,
                "{} {filter}",
                world.kind
            );
            assert_eq!(
                find("projects/default/datasets/-", filter).await.unwrap(),
                expected,
                "{} {filter}",
                world.kind
            );
        }
        assert_eq!(blamed(find(DATASET, "stat = OPEN").await), "filter");
        let error = refused(find(DATASET, "state = OPPEN").await, Code::InvalidArgument);
        assert!(
            error.contains("column 9") && error.contains("OPEN, COMPLETED"),
            "{error}"
        );
    }
}
