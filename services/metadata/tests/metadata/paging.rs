//! Paging through everything that is listed.

use std::collections::BTreeSet;

use granary_core::value::Value;
use granary_proto::metadata::v1::{
    CreateLabelRequest, CreateSnapshotRequest, Label, ListAssetsRequest, ListDatasetsRequest,
    ListLabelsRequest, ListProjectsRequest, ListSessionsRequest, ListSnapshotAssetsRequest,
    ListSnapshotsRequest,
};
use tonic::Status;

use crate::world::{DATASET, World, asset, attributes, blamed};

/// Pages of two until the end: the names, each once.
async fn walk(page: impl AsyncFn(String) -> Result<(Vec<String>, String), Status>) -> Vec<String> {
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let (found, next) = page(token).await.unwrap();
        assert!(
            (1..=2).contains(&found.len()),
            "a page of two holds {}",
            found.len()
        );
        names.extend(found);
        if next.is_empty() {
            let distinct: BTreeSet<_> = names.iter().collect();
            assert_eq!(distinct.len(), names.len(), "{names:?}");
            return names;
        }
        token = next;
    }
}

macro_rules! pages {
    ($client:expr, $method:ident, $items:ident, $key:ident, $request:expr) => {
        walk(async |page_token: String| {
            let mut request = $request;
            request.page_token = page_token;
            request.page_size = 2;
            let response = $client.$method(request).await?.into_inner();
            Ok((
                response.$items.into_iter().map(|item| item.$key).collect(),
                response.next_page_token,
            ))
        })
        .await
    };
}

#[tokio::test]
async fn every_list_is_walked_from_end_to_end_without_a_gap_or_a_repetition() {
    for world in World::each().await {
        for id in ["a", "b", "c", "d"] {
            world.project(id).await;
            world.dataset("default", id).await;
        }
        for id in ["s1", "s2", "s3"] {
            // The same instant for all of them: the name must break the tie.
            world.ready(id, attributes([]), &["x", "y/z", "é"]).await;
        }
        let all = || "projects/default/datasets/-".to_owned();
        let sorted = |names: &[String]| names.is_sorted();
        let projects = pages!(
            world.projects(),
            list_projects,
            projects,
            name,
            ListProjectsRequest {
                page_size: 2,
                ..Default::default()
            }
        );
        assert!(projects.len() == 5 && sorted(&projects), "{projects:?}");
        let parent = "projects/default".to_owned();
        let datasets = pages!(
            world.datasets(),
            list_datasets,
            datasets,
            name,
            ListDatasetsRequest {
                parent: parent.clone(),
                ..Default::default()
            }
        );
        assert!(datasets.len() == 5 && sorted(&datasets), "{datasets:?}");
        for parent in [all(), DATASET.to_owned()] {
            let sessions = pages!(
                world.sessions(),
                list_sessions,
                sessions,
                name,
                ListSessionsRequest {
                    parent: parent.clone(),
                    ..Default::default()
                }
            );
            assert_eq!(sessions.len(), 3);
            let assets = pages!(
                world.assets(),
                list_assets,
                assets,
                uri,
                ListAssetsRequest {
                    parent: parent.clone(),
                    ..Default::default()
                }
            );
            assert!(assets.len() == 9 && sorted(&assets), "{assets:?}");
            let some = pages!(
                world.assets(),
                list_assets,
                assets,
                uri,
                ListAssetsRequest {
                    parent: parent.clone(),
                    filter: "path != x".into(),
                    ..Default::default()
                }
            );
            assert_eq!(some.len(), 6);
        }
    }
}

#[tokio::test]
async fn labels_and_snapshots_are_walked_too() {
    for world in World::each().await {
        let (_, assets) = world.ready("s1", attributes([]), &["x", "y", "z"]).await;
        for asset in &assets {
            for class in ["a", "b", "c"] {
                let label = Label {
                    class: class.into(),
                    ..Default::default()
                };
                let request = CreateLabelRequest {
                    parent: asset.name.clone(),
                    label: Some(label),
                    ..Default::default()
                };
                world.labels().create_label(request).await.unwrap();
            }
        }
        let mut names = Vec::new();
        for _ in 0..3 {
            let request = CreateSnapshotRequest {
                parent: DATASET.into(),
                ..Default::default()
            };
            names.push(
                world
                    .snapshots()
                    .create_snapshot(request)
                    .await
                    .unwrap()
                    .into_inner()
                    .name,
            );
        }
        let of_all = format!("{DATASET}/assets/-");
        let labels = pages!(
            world.labels(),
            list_labels,
            labels,
            name,
            ListLabelsRequest {
                parent: of_all.clone(),
                ..Default::default()
            }
        );
        assert_eq!(labels.len(), 9);
        let of_one = pages!(
            world.labels(),
            list_labels,
            labels,
            name,
            ListLabelsRequest {
                parent: assets[0].name.clone(),
                ..Default::default()
            }
        );
        assert_eq!(of_one.len(), 3);
        let snapshots = pages!(
            world.snapshots(),
            list_snapshots,
            snapshots,
            name,
            ListSnapshotsRequest {
                parent: DATASET.into(),
                ..Default::default()
            }
        );
        assert_eq!(snapshots.len(), 3);
        let held = pages!(
            world.snapshots(),
            list_snapshot_assets,
            assets,
            path,
            ListSnapshotAssetsRequest {
                parent: names[0].clone(),
                ..Default::default()
            }
        );
        assert_eq!(held, ["x", "y", "z"]);
    }
}

#[tokio::test]
async fn large_rows_end_a_page_before_its_size() {
    for world in World::each().await {
        for i in 0..8 {
            let mut large = attributes([]);
            for key in 0..60 {
                large.extend(attributes([(
                    format!("k{key}").as_str(),
                    Value::from("x".repeat(16_000)),
                )]));
            }
            world.session(&format!("s{i}"), large).await;
        }
        let request = ListSessionsRequest {
            parent: DATASET.into(),
            page_size: 1000,
            ..Default::default()
        };
        let page = world
            .sessions()
            .list_sessions(request)
            .await
            .unwrap()
            .into_inner();
        assert!(
            (1..8).contains(&page.sessions.len()),
            "{}",
            page.sessions.len()
        );
        assert!(!page.next_page_token.is_empty());
    }
}

#[tokio::test]
async fn a_token_belongs_to_its_question() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        world
            .register(&session, (0..5).map(|i| asset(&i.to_string())).collect())
            .await
            .unwrap();
        let list = |filter: &str, token: &str, size| ListAssetsRequest {
            parent: DATASET.into(),
            filter: filter.into(),
            page_token: token.into(),
            page_size: size,
        };
        let token = world
            .assets()
            .list_assets(list("", "", 2))
            .await
            .unwrap()
            .into_inner()
            .next_page_token;
        assert_eq!(
            blamed(
                world
                    .assets()
                    .list_assets(list("path = a", &token, 2))
                    .await
            ),
            "page_token"
        );
        assert_eq!(
            blamed(world.assets().list_assets(list("", "%%", 2)).await),
            "page_token"
        );
        assert_eq!(
            blamed(world.assets().list_assets(list("", "", -1)).await),
            "page_size"
        );
        let forged =
            granary_core::page::encode(&["ListAssets", DATASET, ""], &("a", "b\0", "c")).unwrap();
        assert_eq!(
            blamed(world.assets().list_assets(list("", &forged, 2)).await),
            "page_token"
        );
    }
}
