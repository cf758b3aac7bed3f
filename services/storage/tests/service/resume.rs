//! Uploads that were interrupted, and what they find when they go on.

use granary_proto::{
    metadata::v1::{AssetEvent, AssetState, AssetStateUpdate, BatchUpdateAssetStatesRequest},
    storage::v1::{GetUploadRequest, UploadState},
};
use tonic::Code;

use crate::world::{Told, World, each, noise, project, sha256, sum};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn sending_again_sends_nothing() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(5000, 1);
        world.send(&session, vec![world.file("a", &bytes)]).await;
        let again = world.send(&session, vec![world.file("a", &bytes)]).await;
        assert_eq!(
            (again.files, again.bytes_sent, again.bytes_skipped),
            (1, 0, 5000)
        );
        let other = world
            .uploader()
            .upload(
                &session,
                vec![world.file("a", &noise(5000, 2))],
                &Told::default(),
            )
            .await;
        assert!(
            matches!(other, Err(granary_core::Error::AlreadyExists { .. })),
            "{other:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn bytes_that_arrived_before_a_crash_are_not_sent_again() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(5000, 1);
        let uploads = world.create(&session, &[("a", &bytes)]).await.unwrap();
        assert_eq!(
            world
                .make(uploads[0].put.as_ref().unwrap(), bytes.clone())
                .await,
            200
        );
        let uploaded = world.send(&session, vec![world.file("a", &bytes)]).await;
        assert_eq!(
            (uploaded.files, uploaded.bytes_sent, uploaded.bytes_skipped),
            (1, 0, 5000)
        );
    })
    .await;
}

#[tokio::test]
async fn a_file_that_changed_before_it_was_confirmed_is_sent_as_it_is_now() {
    each(async |world: World| {
        let session = world.open("s").await;
        let (small, grown) = (noise(5000, 1), noise(6000, 2));
        let (big, cut) = (noise(20 * MIB, 3), noise(17 * MIB, 4));
        let first = [("small", &small[..]), ("big", &big[..])];
        let uploads = world.create(&session, &first).await.unwrap();
        let put = uploads[0].put.as_ref().unwrap();
        assert_eq!(world.make(put, small.clone()).await, 200);
        world
            .send_part(&uploads[1], 2, &big[8 * MIB..16 * MIB])
            .await;
        let now = vec![world.file("small", &grown), world.file("big", &cut)];
        let uploaded = world.send(&session, now).await;
        assert_eq!(
            (uploaded.files, uploaded.bytes_skipped > grown.len() as u64),
            (2, false)
        );
        for (path, bytes) in [("small", &grown), ("big", &cut)] {
            let asset = world.asset(&session, path).await;
            assert_eq!(
                (asset.state(), asset.size_bytes, asset.sha256),
                (AssetState::Uploaded, bytes.len() as i64, sha256(bytes)),
                "{path}"
            );
            let stored = world.reader().read_start(&asset.uri, 1 << 30).await;
            assert!(stored.unwrap() == *bytes, "{path}");
        }
        let aborted = world.front.count("DELETE", "uploadId=");
        assert_eq!(aborted, 1, "the parts of the earlier content are dropped");
    })
    .await;
}

#[tokio::test]
async fn bytes_of_earlier_content_are_not_taken_for_what_is_declared_now() {
    each(async |world: World| {
        let session = world.open("s").await;
        let (earlier, now) = (noise(5000, 1), noise(5000, 2));
        let uploads = world.create(&session, &[("a", &earlier)]).await.unwrap();
        let put = uploads[0].put.as_ref().unwrap();
        assert_eq!(world.make(put, earlier).await, 200);
        let uploads = world.create(&session, &[("a", &now)]).await.unwrap();
        let results = world.complete(&session, &uploads).await;
        let code = results[0].error.as_ref().unwrap().code;
        assert_eq!(code, Code::DataLoss as i32);
        assert_eq!(
            world.asset(&session, "a").await.state(),
            AssetState::Pending
        );
    })
    .await;
}

#[tokio::test]
async fn a_large_file_is_sent_in_parts_and_goes_on_where_it_was() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(20 * MIB + 123, 3);
        let upload = world
            .create(&session, &[("big", &bytes)])
            .await
            .unwrap()
            .remove(0);
        assert_eq!(
            (
                upload.part_count,
                upload.part_size_bytes,
                upload.put.is_none()
            ),
            (3, 8 << 20, true)
        );
        world.send_part(&upload, 2, &bytes[8 * MIB..16 * MIB]).await;
        let told = Told::default();
        let uploaded = world
            .uploader()
            .upload(&session, vec![world.file("big", &bytes)], &told)
            .await
            .unwrap();
        assert_eq!(uploaded.bytes_skipped, 8 << 20);
        assert_eq!(uploaded.bytes_sent, bytes.len() as u64 - (8 << 20));
        assert_eq!(told.of("hashed"), bytes.len() as u64);
        let asset = world.asset(&session, "big").await;
        assert_eq!(asset.state(), AssetState::Uploaded);
        assert!(
            world
                .reader()
                .read_start(&asset.uri, 1 << 30)
                .await
                .unwrap()
                == bytes
        );
        let found = world
            .uploads()
            .get_upload(GetUploadRequest { name: upload.name })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(found.state(), UploadState::Completed);
    })
    .await;
}

#[tokio::test]
async fn an_incomplete_large_file_says_which_parts_are_missing() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(17 * MIB, 5);
        let uploads = world.create(&session, &[("big", &bytes)]).await.unwrap();
        world
            .send_part(&uploads[0], 2, &bytes[8 * MIB..16 * MIB])
            .await;
        let error = world.complete(&session, &uploads).await[0]
            .error
            .clone()
            .unwrap();
        assert_eq!(error.code, Code::FailedPrecondition as i32);
        assert!(error.message.contains("missing: 1, 3"), "{}", error.message);
        let found = world
            .uploads()
            .get_upload(GetUploadRequest {
                name: uploads[0].name.clone(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            found
                .uploaded_parts
                .iter()
                .map(|part| (part.number, part.size_bytes))
                .collect::<Vec<_>>(),
            [(2, 8 << 20)]
        );
    })
    .await;
}

#[tokio::test]
async fn a_completion_that_died_halfway_is_found_done() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(9 * MIB, 6);
        let upload = world
            .create(&session, &[("big", &bytes)])
            .await
            .unwrap()
            .remove(0);
        world.send_part(&upload, 1, &bytes[..8 * MIB]).await;
        let part = world.send_part(&upload, 2, &bytes[8 * MIB..]).await;
        let there = world
            .uploads()
            .get_upload(GetUploadRequest {
                name: upload.name.clone(),
            })
            .await
            .unwrap()
            .into_inner()
            .uploaded_parts;
        let sums = [sum(&bytes[..8 * MIB]), sum(&bytes[8 * MIB..])];
        let etags = there.into_iter().map(|part| part.etag).zip(sums).collect();
        let uri = world.asset(&session, "big").await.uri;
        world.complete_behind(&uri, &part, etags).await;
        let again = world
            .create(&session, &[("big", &bytes)])
            .await
            .unwrap()
            .remove(0);
        assert_eq!(
            again.state(),
            UploadState::Completed,
            "the object was not found"
        );
        assert_eq!(
            world.asset(&session, "big").await.state(),
            AssetState::Uploaded
        );
        assert_eq!(
            world.complete(&session, &[upload]).await[0].state(),
            UploadState::Completed
        );
    })
    .await;
}

#[tokio::test]
async fn an_asset_that_was_recorded_before_a_crash_is_confirmed_again() {
    each(async |world: World| {
        let session = world.open("s").await;
        let uploads = world.create(&session, &[("a", b"12345")]).await.unwrap();
        world
            .make(uploads[0].put.as_ref().unwrap(), b"12345".to_vec())
            .await;
        for event in [
            AssetEvent::Stored,
            AssetEvent::Checking,
            AssetEvent::Accepted,
        ] {
            let update = AssetStateUpdate {
                name: uploads[0].asset.clone(),
                event: event.into(),
                ..AssetStateUpdate::default()
            };
            let request = BatchUpdateAssetStatesRequest {
                parent: project().to_string(),
                updates: vec![update],
            };
            world
                .assets()
                .batch_update_asset_states(request)
                .await
                .unwrap();
        }
        assert_eq!(
            world.complete(&session, &uploads).await[0].state(),
            UploadState::Completed
        );
        assert_eq!(world.asset(&session, "a").await.state(), AssetState::Ready);
    })
    .await;
}

#[tokio::test]
async fn wrong_bytes_under_the_key_are_found_removed_and_replaced() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(5000, 7);
        for (path, wrong) in [("same-size", noise(5000, 8)), ("shorter", noise(10, 8))] {
            let uploads = world.create(&session, &[(path, &bytes)]).await.unwrap();
            let uri = world.asset(&session, path).await.uri;
            world.overwrite(&uri, wrong.clone()).await;
            let error = world.complete(&session, &uploads).await[0]
                .error
                .clone()
                .expect("wrong bytes were confirmed");
            assert_eq!(error.code, Code::DataLoss as i32, "{}", error.message);
            assert!(matches!(
                world.reader().read_start(&uri, 10).await,
                Err(granary_core::Error::NotFound { .. })
            ));
            world.overwrite(&uri, wrong).await;
            let uploaded = world.send(&session, vec![world.file(path, &bytes)]).await;
            assert_eq!(uploaded.bytes_sent, 5000, "it was not sent again");
            assert!(world.reader().read_start(&uri, 10_000).await.unwrap() == bytes);
        }
    })
    .await;
}

#[tokio::test]
async fn a_foreign_object_in_the_place_of_a_large_file_is_replaced() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(9 * MIB, 10);
        world.create(&session, &[("big", &bytes)]).await.unwrap();
        let uri = world.asset(&session, "big").await.uri;
        world.overwrite(&uri, noise(9 * MIB, 11)).await;
        let uploaded = world.send(&session, vec![world.file("big", &bytes)]).await;
        assert_eq!(
            uploaded.bytes_sent,
            bytes.len() as u64,
            "parts were sent twice"
        );
        assert!(world.reader().read_start(&uri, 1 << 30).await.unwrap() == bytes);
    })
    .await;
}
