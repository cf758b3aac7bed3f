//! Files go to the store and are confirmed.

use granary_proto::{
    metadata::v1::AssetState,
    storage::v1::{
        BatchCreateUploadsRequest, PartToSign, SignUploadPartsRequest, UploadRequest, UploadState,
    },
};
use granary_runtime::rpc;
use granary_transfer::Source;
use tonic::Code;

use crate::world::{Told, World, each, item, noise};

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
