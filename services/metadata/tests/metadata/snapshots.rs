//! Snapshots.

use granary_proto::metadata::v1::{
    CreateLabelRequest, CreateSnapshotRequest, DeleteLabelRequest, GetSnapshotRequest, Label,
    ListSnapshotAssetsRequest, ListSnapshotsRequest, Snapshot, SnapshotAsset, UpdateLabelRequest,
};
use tonic::{Code, Status};

use crate::world::{DATASET, World, asset, attributes, blamed, refused};

async fn freeze(world: &World, id: &str, filter: &str) -> Result<Snapshot, Status> {
    let request = CreateSnapshotRequest {
        parent: DATASET.into(),
        snapshot: Some(Snapshot {
            filter: filter.into(),
            ..Default::default()
        }),
        snapshot_id: id.into(),
        ..Default::default()
    };
    Ok(world
        .snapshots()
        .create_snapshot(request)
        .await?
        .into_inner())
}

async fn held(world: &World, snapshot: &str) -> Vec<SnapshotAsset> {
    let request = ListSnapshotAssetsRequest {
        parent: snapshot.into(),
        page_size: 1000,
        ..Default::default()
    };
    world
        .snapshots()
        .list_snapshot_assets(request)
        .await
        .unwrap()
        .into_inner()
        .assets
}

async fn label(world: &World, asset: &str, class: &str) -> Label {
    let label = Label {
        class: class.into(),
        ..Default::default()
    };
    let request = CreateLabelRequest {
        parent: asset.into(),
        label: Some(label),
        ..Default::default()
    };
    world
        .labels()
        .create_label(request)
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was_whatever_happens_to_labels() {
    for world in World::each().await {
        let (_, assets) = world.ready("s1", attributes([]), &["a", "b"]).await;
        let kept = label(&world, &assets[0].name, "cat").await;
        let removed = label(&world, &assets[0].name, "dog").await;
        let frozen = freeze(&world, "v1", "").await.unwrap();
        assert_eq!(
            (frozen.asset_count, frozen.label_count, frozen.size_bytes),
            (2, 2, 20)
        );
        assert_eq!((frozen.author.as_str(), frozen.digest.len()), ("ada", 64));
        let before = held(&world, &frozen.name).await;
        let changed = Label {
            class: "cow".into(),
            ..kept
        };
        world
            .labels()
            .update_label(UpdateLabelRequest {
                label: Some(changed),
                update_mask: None,
            })
            .await
            .unwrap();
        world
            .labels()
            .delete_label(DeleteLabelRequest { name: removed.name })
            .await
            .unwrap();
        label(&world, &assets[1].name, "new").await;
        world.ready("s2", attributes([]), &["c"]).await;
        assert_eq!(held(&world, &frozen.name).await, before);
        let classes: Vec<_> = before[0]
            .labels
            .iter()
            .map(|label| label.class.as_str())
            .collect();
        assert_eq!(classes, ["cat", "dog"]);
        assert_eq!(before[0].uri, "s3://granary-raw/default/raw/s1/a");
        let request = GetSnapshotRequest {
            name: frozen.name.clone(),
        };
        assert_eq!(
            world
                .snapshots()
                .get_snapshot(request)
                .await
                .unwrap()
                .into_inner(),
            frozen
        );
    }
}

#[tokio::test]
async fn equal_content_has_an_equal_digest_and_other_content_another() {
    for world in World::each().await {
        let (_, assets) = world.ready("s1", attributes([]), &["a", "b"]).await;
        let one = freeze(&world, "v1", "").await.unwrap();
        let same = freeze(&world, "v2", "state = READY").await.unwrap();
        assert_eq!(one.digest, same.digest);
        let fewer = freeze(&world, "v3", "path = a").await.unwrap();
        assert_ne!(fewer.digest, one.digest);
        let cat = label(&world, &assets[0].name, "cat").await;
        let labelled = freeze(&world, "v4", "").await.unwrap();
        assert_ne!(labelled.digest, one.digest);
        let changed = Label {
            class: "cow".into(),
            ..cat
        };
        world
            .labels()
            .update_label(UpdateLabelRequest {
                label: Some(changed),
                update_mask: None,
            })
            .await
            .unwrap();
        assert_ne!(
            freeze(&world, "v5", "").await.unwrap().digest,
            labelled.digest
        );
    }
}

#[tokio::test]
async fn only_what_is_ready_and_matches_is_frozen() {
    for world in World::each().await {
        let session = world.session("s1", attributes([])).await.name;
        world
            .register(&session, vec![asset("pending")])
            .await
            .unwrap();
        let error = refused(freeze(&world, "v1", "").await, Code::FailedPrecondition);
        assert!(error.contains("READY"), "{error}");
        world.ready("s2", attributes([]), &["b", "a.jpg"]).await;
        let frozen = freeze(&world, "", "media_type = \"image/*\"")
            .await
            .unwrap();
        let paths: Vec<_> = held(&world, &frozen.name)
            .await
            .into_iter()
            .map(|asset| asset.path)
            .collect();
        assert_eq!(paths, ["a.jpg"]);
        refused(
            freeze(&world, "v1", "path = nowhere").await,
            Code::FailedPrecondition,
        );
        assert_eq!(
            blamed(freeze(&world, "v1", "pth = a").await),
            "snapshot.filter"
        );
        freeze(&world, "v1", "").await.unwrap();
    }
}

#[tokio::test]
async fn ids_and_requests_are_taken_once() {
    for world in World::each().await {
        world.ready("s1", attributes([]), &["a"]).await;
        freeze(&world, "v1", "").await.unwrap();
        refused(freeze(&world, "v1", "").await, Code::AlreadyExists);
        let request = CreateSnapshotRequest {
            parent: DATASET.into(),
            request_id: "0190b8b6-7a5e-7c1e-8a57-0f4e6d1f2a3b".into(),
            ..Default::default()
        };
        let made = world
            .snapshots()
            .create_snapshot(request.clone())
            .await
            .unwrap()
            .into_inner();
        world.clock.advance(time::Duration::seconds(1));
        assert_eq!(
            world
                .snapshots()
                .create_snapshot(request.clone())
                .await
                .unwrap()
                .into_inner(),
            made
        );
        let other = CreateSnapshotRequest {
            snapshot_id: "v2".into(),
            ..request
        };
        assert_eq!(
            blamed(world.snapshots().create_snapshot(other).await),
            "request_id"
        );
        freeze(&world, "v3", "").await.unwrap();
        let list = ListSnapshotsRequest {
            parent: "projects/default/datasets/-".into(),
            ..Default::default()
        };
        let names = world
            .snapshots()
            .list_snapshots(list)
            .await
            .unwrap()
            .into_inner()
            .snapshots;
        assert_eq!(names.len(), 3);
        assert!(names[0].name.ends_with("/v3"), "the newest first");
    }
}
