//! What should not be, and what belongs to others.

use std::collections::BTreeMap;

use granary_core::value::Value;
use granary_proto::metadata::v1::{
    Asset, BatchCreateAssetsRequest, BatchGetAssetsRequest, CreateDatasetRequest,
    CreateLabelRequest, CreateSessionRequest, Dataset, FinishSessionRequest, GetAssetRequest,
    GetDatasetRequest, GetLabelRequest, GetSessionRequest, GetSnapshotRequest, Label,
    ListAssetsRequest, ListLabelsRequest, ListSessionsRequest, Session, Value as WireValue,
};
use tonic::Code;

use crate::world::{DATASET, World, asset, attributes, blamed, refused};

#[tokio::test]
async fn hostile_ids_are_refused_by_name_of_their_field() {
    for world in World::each().await {
        for id in [
            "",
            "..",
            ".hidden",
            "-x",
            "a/b",
            "a\0b",
            "a b",
            "é",
            &"x".repeat(129),
            "%2e%2e",
            "a\nb",
        ] {
            assert_eq!(
                blamed(world.try_session(id, attributes([])).await),
                "session_id",
                "{id:?}"
            );
        }
        for id in ["", "A", "1a", "a_b", "-", "a/../b", &"x".repeat(64)] {
            let request = CreateDatasetRequest {
                parent: "projects/default".into(),
                dataset_id: id.into(),
                ..Default::default()
            };
            assert_eq!(
                blamed(world.datasets().create_dataset(request).await),
                "dataset_id",
                "{id:?}"
            );
        }
        let request = CreateDatasetRequest {
            parent: "projects/default".into(),
            dataset_id: "d".into(),
            dataset: Some(Dataset {
                display_name: "a\0".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(
            blamed(world.datasets().create_dataset(request).await),
            "dataset.display_name"
        );
    }
}

#[tokio::test]
async fn hostile_attributes_are_refused() {
    for world in World::each().await {
        let one = |key: &str, value: Value| attributes([(key, value)]);
        let many: BTreeMap<_, _> = (0..1001)
            .flat_map(|i| one(&format!("k{i}"), Value::Boolean(true)))
            .collect();
        let large: BTreeMap<_, _> = (0..100)
            .flat_map(|i| one(&format!("k{i}"), Value::from("x".repeat(16_000))))
            .collect();
        let empty = BTreeMap::from([("k".to_owned(), WireValue { kind: None })]);
        let both = attributes([
            ("\u{e9}", Value::Boolean(true)),
            ("e", Value::Boolean(true)),
        ]);
        world.session("fine", both).await;
        for wrong in [
            one("", Value::Boolean(true)),
            one("a b", Value::Boolean(true)),
            one("a\0", Value::Boolean(true)),
            one(&"k".repeat(129), Value::Boolean(true)),
            one("k", Value::from("a\0b")),
            one("k", Value::from("x".repeat(16 * 1024 + 1))),
            one("k", Value::Number(f64::NAN)),
            one("k", Value::Number(f64::INFINITY)),
            empty,
            many,
            large,
        ] {
            let field = blamed(world.try_session("s", wrong).await);
            assert!(field.starts_with("session.attributes"), "{field}");
        }
        let half: BTreeMap<_, _> = (0..60)
            .flat_map(|i| one(&format!("a{i}"), Value::from("x".repeat(16_000))))
            .collect();
        let other: BTreeMap<_, _> = (0..60)
            .flat_map(|i| one(&format!("b{i}"), Value::from("x".repeat(16_000))))
            .collect();
        world.session("grows", half).await;
        assert_eq!(
            blamed(world.try_session("grows", other).await),
            "session.attributes"
        );
    }
}

#[tokio::test]
async fn hostile_sessions_are_refused() {
    for world in World::each().await {
        let call = |session: Session| CreateSessionRequest {
            parent: DATASET.into(),
            session: Some(session),
            session_id: "s".into(),
            ..Default::default()
        };
        for (session, field) in [
            (
                Session {
                    metadata_path: "../etc/passwd".into(),
                    ..Default::default()
                },
                "session.metadata_path",
            ),
            (
                Session {
                    derived_from: vec!["a b".into()],
                    ..Default::default()
                },
                "session.derived_from[0]",
            ),
            (
                Session {
                    derived_from: vec!["a".into(); 1001],
                    ..Default::default()
                },
                "session.derived_from",
            ),
            (
                Session {
                    derived_from: [DATASET, "projects/other/datasets/raw"]
                        .map(|dataset| format!("{dataset}/sessions/s"))
                        .into(),
                    ..Default::default()
                },
                "session.derived_from[1]",
            ),
            (
                Session {
                    producer: "projects/other/jobs/j".into(),
                    ..Default::default()
                },
                "session.producer",
            ),
        ] {
            assert_eq!(
                blamed(world.sessions().create_session(call(session)).await),
                field
            );
        }
        let finish = FinishSessionRequest {
            name: "projects/default/datasets/raw".into(),
            ..Default::default()
        };
        assert_eq!(blamed(world.finish(finish).await), "name");
    }
}

#[tokio::test]
async fn hostile_assets_are_refused_with_their_place_in_the_batch() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        for (wrong, field) in [
            (asset("../a"), "assets[1].path"),
            (asset(".granary/session.json"), "assets[1].path"),
            (
                Asset {
                    size_bytes: -1,
                    ..asset("a")
                },
                "assets[1].size_bytes",
            ),
            (
                Asset {
                    sha256: "A".repeat(64),
                    ..asset("a")
                },
                "assets[1].sha256",
            ),
            (
                Asset {
                    media_type: String::new(),
                    ..asset("a")
                },
                "assets[1].media_type",
            ),
            (
                Asset {
                    media_type: "a\0".into(),
                    ..asset("a")
                },
                "assets[1].media_type",
            ),
            (
                Asset {
                    derived_from: vec!["x".into(); 101],
                    ..asset("a")
                },
                "assets[1].derived_from",
            ),
            (
                Asset {
                    derived_from: vec!["projects/other/datasets/raw/assets/a".into()],
                    ..asset("a")
                },
                "assets[1].derived_from[0]",
            ),
            (
                Asset {
                    producer: "projects/other/pipelines/p/runs/r".into(),
                    ..asset("a")
                },
                "assets[1].producer",
            ),
            (
                Asset {
                    attributes: attributes([("k", Value::Number(f64::NAN))]),
                    ..asset("a")
                },
                "assets[1].attributes[\"k\"]",
            ),
        ] {
            assert_eq!(
                blamed(world.register(&session, vec![asset("fine"), wrong]).await),
                field
            );
        }
        assert_eq!(blamed(world.register(&session, vec![]).await), "assets");
        let many = (0..1001).map(|i| asset(&i.to_string())).collect();
        assert_eq!(blamed(world.register(&session, many).await), "assets");
        assert_eq!(world.find("").await.unwrap(), [""; 0]);
        let request = BatchCreateAssetsRequest {
            parent: session,
            assets: vec![asset("a")],
        };
        refused(
            world.assets().batch_create_assets(request).await,
            Code::PermissionDenied,
        );
    }
}

#[tokio::test]
async fn hostile_labels_are_refused() {
    for world in World::each().await {
        let (_, assets) = world.ready("s1", attributes([]), &["a"]).await;
        let call = |class: &str, id: &str| CreateLabelRequest {
            parent: assets[0].name.clone(),
            label: Some(Label {
                class: class.into(),
                ..Default::default()
            }),
            label_id: id.into(),
            ..Default::default()
        };
        for (class, id, field) in [
            ("", "", "label.class"),
            (&"x".repeat(257), "", "label.class"),
            ("a\0", "", "label.class"),
            ("cat", "../x", "label_id"),
        ] {
            assert_eq!(
                blamed(world.labels().create_label(call(class, id)).await),
                field
            );
        }
        let nothing = CreateLabelRequest {
            label: None,
            ..call("cat", "")
        };
        assert_eq!(blamed(world.labels().create_label(nothing).await), "label");
    }
}

/// Everything of another project is as if it were not there.
#[tokio::test]
async fn what_belongs_to_another_project_is_not_found() {
    for world in World::each().await {
        world.project("other").await;
        let (session, assets) = world.ready("s1", attributes([]), &["a"]).await;
        let other = |name: &str| name.replace("projects/default", "projects/other");
        let asset = other(&assets[0].name);
        refused(
            world
                .datasets()
                .get_dataset(GetDatasetRequest {
                    name: other(DATASET),
                })
                .await,
            Code::NotFound,
        );
        refused(
            world
                .sessions()
                .get_session(GetSessionRequest {
                    name: other(&session),
                })
                .await,
            Code::NotFound,
        );
        refused(
            world
                .assets()
                .get_asset(GetAssetRequest {
                    name: asset.clone(),
                })
                .await,
            Code::NotFound,
        );
        refused(world.complete(&other(&session)).await, Code::NotFound);
        let get = BatchGetAssetsRequest {
            parent: "projects/other".into(),
            names: vec![assets[0].name.clone()],
        };
        assert_eq!(
            blamed(world.assets().batch_get_assets(get).await),
            "names[0]"
        );
        let label = GetLabelRequest {
            name: format!("{asset}/labels/l"),
        };
        refused(world.labels().get_label(label).await, Code::NotFound);
        let snapshot = GetSnapshotRequest {
            name: format!("{}/snapshots/v1", other(DATASET)),
        };
        refused(
            world.snapshots().get_snapshot(snapshot).await,
            Code::NotFound,
        );
    }
}

#[tokio::test]
async fn lists_of_another_project_hold_nothing_of_this_one() {
    for world in World::each().await {
        world.project("other").await;
        let (session, assets) = world.ready("s1", attributes([]), &["a"]).await;
        let other = |name: &str| name.replace("projects/default", "projects/other");
        let asset = other(&assets[0].name);
        let list = ListAssetsRequest {
            parent: other(DATASET),
            ..Default::default()
        };
        refused(world.assets().list_assets(list).await, Code::NotFound);
        let list = ListSessionsRequest {
            parent: "projects/nowhere/datasets/-".into(),
            ..Default::default()
        };
        refused(world.sessions().list_sessions(list).await, Code::NotFound);
        let list = ListLabelsRequest {
            parent: asset,
            ..Default::default()
        };
        refused(world.labels().list_labels(list).await, Code::NotFound);
        world.dataset("other", "raw").await;
        let list = ListAssetsRequest {
            parent: "projects/other/datasets/-".into(),
            ..Default::default()
        };
        assert!(
            world
                .assets()
                .list_assets(list)
                .await
                .unwrap()
                .into_inner()
                .assets
                .is_empty()
        );
        refused(
            world
                .register(&other(&session), vec![crate::world::asset("b")])
                .await,
            Code::NotFound,
        );
    }
}
