//! Files go to the store and are confirmed.

use crate::world::{Told, World, each, item, noise, project, sum};
use granary_proto::{
    metadata::v1::{AssetEvent, AssetState, AssetStateUpdate, BatchUpdateAssetStatesRequest},
    storage::v1::{
        BatchCreateUploadsRequest, GetUploadRequest, PartToSign, SignUploadPartsRequest,
        UploadRequest, UploadState,
    },
};
use granary_runtime::rpc;
use granary_transfer::Source;
use tonic::Code;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn small_files_arrive_as_they_were_whatever_their_names() {
    each(async |world: World| {
        let session = world.open("s").await;
        let names = [
            "a.txt",
            "empty",
            "deep/er/é e\u{301}.jpg",
            "a b+c%41&d=e?f#g",
            "new\nline",
            "quote\"'<>",
            "...",
        ];
        let contents: Vec<Vec<u8>> = names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                if *name == "empty" {
                    vec![]
                } else {
                    noise(1000 + i, i as u64)
                }
            })
            .collect();
        let items = names
            .iter()
            .zip(&contents)
            .map(|(name, bytes)| world.file(name, bytes))
            .collect();
        let told = Told::default();
        let uploaded = world
            .uploader()
            .upload(&session, items, &told)
            .await
            .unwrap();
        assert_eq!(uploaded.files, names.len() as u64);
        assert_eq!(
            (told.of("done"), told.of("sent"), told.of("hashed")),
            (7, uploaded.bytes_sent, told.of("bytes"))
        );
        let places = (0..).map(|number: usize| number.to_string());
        let wanted: Vec<_> = names
            .iter()
            .zip(&contents)
            .zip(places)
            .map(|((name, bytes), place)| world.wanted(session.asset(name), &place, bytes))
            .collect();
        assert_eq!(world.fetch(wanted.clone()).await.bytes, uploaded.bytes_sent);
        for ((name, bytes), wanted) in names.iter().zip(&contents).zip(wanted) {
            assert_eq!(
                world.asset(&session, name).await.state(),
                AssetState::Uploaded,
                "{name}"
            );
            assert_eq!(&std::fs::read(wanted.to).unwrap(), bytes, "{name}");
        }
        assert_eq!(
            world
                .asset(&session, "deep/er/é e\u{301}.jpg")
                .await
                .media_type,
            "image/jpeg"
        );
    })
    .await;
}

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
async fn only_what_was_declared_can_be_put() {
    each(async |world: World| {
        let session = world.open("s").await;
        let uploads = world.create(&session, &[("a", b"12345")]).await.unwrap();
        let put = uploads[0].put.clone().unwrap();
        assert_ne!(
            world.make(&put, b"54321".to_vec()).await,
            200,
            "other bytes"
        );
        let mut longer = put.clone();
        longer.headers.insert("content-length".into(), "6".into());
        assert_ne!(
            world.make(&longer, b"123456".to_vec()).await,
            200,
            "more bytes"
        );
        assert_eq!(
            world.complete(&session, &uploads).await[0]
                .error
                .as_ref()
                .map(|e| e.code),
            Some(Code::FailedPrecondition as i32)
        );
        assert_eq!(world.make(&put, b"12345".to_vec()).await, 200);
        assert_eq!(world.make(&put, b"12345".to_vec()).await, 412, "twice");
        assert_eq!(
            world.complete(&session, &uploads).await[0].state(),
            UploadState::Completed
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
async fn large_bytes_in_memory_are_sent_too() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(9 * MIB, 4);
        world
            .send(
                &session,
                vec![item("big", Source::Bytes(bytes.clone().into()))],
            )
            .await;
        let asset = world.asset(&session, "big").await;
        assert!(
            world
                .reader()
                .read_start(&asset.uri, 1 << 30)
                .await
                .unwrap()
                == bytes
        );
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
async fn a_thousand_files_go_in_one_batch() {
    each(async |world: World| {
        let session = world.open("s").await;
        let items = (0..1000)
            .map(|i| {
                item(
                    &format!("f/{i:04}"),
                    Source::Bytes(format!("content {i}").into_bytes().into()),
                )
            })
            .collect();
        assert_eq!(world.send(&session, items).await.files, 1000);
        let requests: Vec<UploadRequest> = (0..1000)
            .map(|i| {
                let bytes = format!("content {i}").into_bytes();
                UploadRequest {
                    path: format!("f/{i:04}"),
                    size_bytes: bytes.len() as i64,
                    sha256: crate::world::sha256(&bytes),
                    ..UploadRequest::default()
                }
            })
            .collect();
        let request = BatchCreateUploadsRequest {
            parent: session.to_string(),
            requests,
        };
        let uploads = world
            .uploads()
            .batch_create_uploads(request)
            .await
            .unwrap()
            .into_inner()
            .uploads;
        assert!(
            uploads
                .iter()
                .enumerate()
                .all(|(i, upload)| upload.state() == UploadState::Completed
                    && upload.path == format!("f/{i:04}"))
        );
    })
    .await;
}

#[tokio::test]
async fn hostile_requests_are_refused_by_field() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    for path in [
        "../../etc/passwd",
        "/etc/passwd",
        "a/../b",
        "a//b",
        "",
        ".granary/session.json",
        "nul\0",
    ] {
        let status = world
            .create(&session, &[("good", b"1"), (path, b"2")])
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{path:?}");
        assert!(
            rpc::from_status(status)
                .to_string()
                .starts_with("requests[1].path: "),
            "{path:?}"
        );
    }
    let status = world
        .create(&session, &[("twice", b"1"), ("twice", b"1")])
        .await
        .unwrap_err();
    assert!(
        status.message().starts_with("requests[1].path: "),
        "{status:?}"
    );
    let nowhere = granary_core::name::SessionName::new("default", "recordings", "none").unwrap();
    assert_eq!(
        world
            .create(&nowhere, &[("a", b"1")])
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn a_session_that_is_closed_takes_nothing() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    world.send(&session, vec![world.file("a", b"1")]).await;
    world.complete_session(&session).await;
    assert_eq!(
        world
            .create(&session, &[("b", b"1")])
            .await
            .unwrap_err()
            .code(),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn parts_are_signed_only_for_uploads_in_parts() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    let uploads = world
        .create(&session, &[("small", b"1"), ("big", &noise(9 * MIB, 9))])
        .await
        .unwrap();
    let sign = async |name: &str, number: i32, crc32c: &str| {
        let parts = vec![PartToSign {
            number,
            crc32c: crc32c.into(),
        }];
        let answer = world
            .uploads()
            .sign_upload_parts(SignUploadPartsRequest {
                name: name.into(),
                parts,
            })
            .await;
        answer
            .map(drop)
            .map_err(|status| (status.code(), status.message().to_owned()))
    };
    assert_eq!(
        sign(&uploads[0].name, 1, "AAAAAA==").await.unwrap_err().0,
        Code::FailedPrecondition
    );
    assert_eq!(
        sign(&session.asset("none").upload().to_string(), 1, "AAAAAA==")
            .await
            .unwrap_err()
            .0,
        Code::NotFound
    );
    for (number, crc32c, field) in [
        (3, "AAAAAA==", "parts[0].number"),
        (0, "AAAAAA==", "parts[0].number"),
        (1, "AAAA", "parts[0].crc32c"),
    ] {
        let (code, message) = sign(&uploads[1].name, number, crc32c).await.unwrap_err();
        assert!(
            code == Code::InvalidArgument && message.starts_with(field),
            "{message}"
        );
    }
    sign(&uploads[1].name, 2, "AAAAAA==").await.unwrap();
}

#[tokio::test]
async fn each_confirmation_has_a_result_of_its_own() {
    each(async |world: World| {
        let session = world.open("s").await;
        let mut uploads = world
            .create(&session, &[("a", b"1"), ("b", b"2")])
            .await
            .unwrap();
        world
            .make(uploads[1].put.as_ref().unwrap(), b"2".to_vec())
            .await;
        uploads[0].name = session.asset("unknown").upload().to_string();
        let results = world.complete(&session, &uploads).await;
        assert_eq!(
            results[0].error.as_ref().map(|error| error.code),
            Some(Code::NotFound as i32)
        );
        assert!(results[1].error.is_none() && results[1].state() == UploadState::Completed);
    })
    .await;
}
