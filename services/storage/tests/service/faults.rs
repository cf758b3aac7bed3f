//! What networks, clocks and other programs do while files are moved.

use std::{fs, path::PathBuf, sync::Mutex};

use crate::world::{
    Backend, Fault, Front, Told, World, each, embedded_store, eventually, item, noise, objects,
};
use granary_core::Error;
use granary_proto::metadata::v1::AssetState;
use granary_transfer::{Progress, Source};
use tokio::net::TcpListener;
use tonic::Code;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn urls_that_ended_are_signed_anew() {
    each(async |world: World| {
        let session = world.open("s").await;
        let (small, big) = (noise(100, 1), noise(9 * MIB, 2));
        world
            .front
            .next("PUT", "/small", Fault::Answer(403, "AccessDenied"));
        world
            .front
            .next("PUT", "partNumber=1&", Fault::Answer(403, "AccessDenied"));
        world
            .front
            .next("GET", "/small", Fault::Answer(403, "AccessDenied"));
        world
            .send(
                &session,
                vec![world.file("small", &small), world.file("big", &big)],
            )
            .await;
        let wanted = world.wanted(session.asset("small"), "small", &small);
        world.fetch(vec![wanted.clone()]).await;
        assert_eq!(fs::read(&wanted.to).unwrap(), small);
        assert!(world.front.is_spent());
    })
    .await;
}

#[tokio::test]
async fn a_store_that_refuses_every_signature_is_reported() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    for _ in 0..3 {
        world
            .front
            .next("PUT", "/a", Fault::Answer(403, "SignatureDoesNotMatch"));
    }
    let error = world
        .uploader()
        .upload(&session, vec![world.file("a", b"1")], &Told::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("a: ")
            && error.contains("SignatureDoesNotMatch")
            && !error.contains("X-Amz"),
        "{error}"
    );
}

#[tokio::test]
async fn passing_failures_of_the_store_are_outlived() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(3 * MIB, 3);
        world
            .front
            .next("PUT", "/a", Fault::Answer(503, "SlowDown"));
        world.front.next("PUT", "/a", Fault::LoseAnswer);
        world
            .front
            .next("HEAD", "/a", Fault::Answer(500, "InternalError"));
        let uploaded = world.send(&session, vec![world.file("a", &bytes)]).await;
        assert_eq!(uploaded.files, 1);
        world.front.next("GET", "/a", Fault::CutAnswer(MIB + 500));
        world
            .front
            .next("GET", "/a", Fault::Answer(503, "SlowDown"));
        let wanted = world.wanted(session.asset("a"), "a", &bytes);
        let fetched = world.fetch(vec![wanted.clone()]).await;
        assert!(fs::read(&wanted.to).unwrap() == bytes);
        assert_eq!(
            fetched.bytes,
            bytes.len() as u64,
            "what had arrived was fetched again"
        );
        assert!(world.front.is_spent());
    })
    .await;
}

#[tokio::test]
async fn a_file_whose_answer_is_lost_is_not_sent_again() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(3 * MIB, 3);
        world.front.next("PUT", "/a", Fault::LoseAnswer);
        let uploaded = world.send(&session, vec![world.file("a", &bytes)]).await;
        assert_eq!((uploaded.files, world.front.count("PUT", "/a")), (1, 1));
        let asset = world.asset(&session, "a").await;
        assert_eq!(asset.state(), AssetState::Uploaded);
    })
    .await;
}

#[tokio::test]
async fn a_download_that_goes_on_outlives_any_number_of_urls() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    let bytes = noise(3 * MIB, 3);
    world.send(&session, vec![world.file("a", &bytes)]).await;
    for _ in 0..5 {
        world.front.next("GET", "/a", Fault::CutAnswer(MIB / 2));
        world
            .front
            .next("GET", "/a", Fault::Answer(403, "AccessDenied"));
    }
    let wanted = world.wanted(session.asset("a"), "a", &bytes);
    world.fetch(vec![wanted.clone()]).await;
    assert!(fs::read(&wanted.to).unwrap() == bytes);
    assert!(world.front.is_spent());
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_still_counts() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(9 * MIB, 4);
        world.front.next("POST", "uploadId=", Fault::LoseAnswer);
        world.send(&session, vec![world.file("big", &bytes)]).await;
        assert!(world.front.is_spent());
        assert_eq!(
            world.asset(&session, "big").await.state(),
            AssetState::Uploaded
        );
    })
    .await;
}

#[tokio::test]
async fn an_upload_whose_parts_were_dropped_begins_anew() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(9 * MIB, 5);
        world
            .front
            .next("PUT", "partNumber=2&", Fault::Answer(404, "NoSuchUpload"));
        world.send(&session, vec![world.file("big", &bytes)]).await;
        assert!(world.front.is_spent());
        assert_eq!(
            world.asset(&session, "big").await.state(),
            AssetState::Uploaded
        );
    })
    .await;
}

type Change = fn(&PathBuf);

/// Changes the file once it was hashed.
struct Meddler {
    file: PathBuf,
    change: Mutex<Option<Change>>,
    left: Mutex<u64>,
}

impl Progress for Meddler {
    fn total(&self, _files: u64, bytes: u64) {
        *self.left.lock().unwrap() = bytes;
    }
    fn hashed(&self, bytes: u64) {
        let mut left = self.left.lock().unwrap();
        *left -= bytes;
        if *left == 0
            && let Some(change) = self.change.lock().unwrap().take()
        {
            change(&self.file);
        }
    }
    fn sent(&self, _bytes: u64) {}
    fn skipped(&self, _bytes: u64) {}
    fn done_file(&self, _path: &str) {}
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_named() {
    let changes: [(&str, Change); 3] = [
        ("grown", |path| fs::write(path, noise(10 * MIB, 7)).unwrap()),
        ("cut", |path| fs::write(path, b"short").unwrap()),
        ("replaced", |path| {
            let other = path.with_extension("other");
            fs::write(&other, noise(9 * MIB, 8)).unwrap();
            fs::rename(other, path).unwrap();
        }),
    ];
    let world = World::embedded().await;
    let session = world.open("s").await;
    for (name, change) in changes {
        let item = world.file(name, &noise(9 * MIB, 6));
        let Source::File(file) = item.source.clone() else {
            panic!("no file")
        };
        let meddler = Meddler {
            file: file.clone(),
            change: Mutex::new(Some(change)),
            left: Mutex::new(0),
        };
        let error = world
            .uploader()
            .upload(&session, vec![item], &meddler)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("changed while it was sent"),
            "{name}: {error}"
        );
        assert!(
            error.contains(name) || error.contains(&file.display().to_string()),
            "{name}: {error}"
        );
        assert_eq!(
            world.asset(&session, name).await.state(),
            AssetState::Pending,
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_is_no_file_is_named() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    for source in [
        world.folder.path().to_owned(),
        world.folder.path().join("missing"),
    ] {
        let error = world
            .uploader()
            .upload(
                &session,
                vec![item("a", Source::File(source.clone()))],
                &Told::default(),
            )
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Precondition { resource, .. } if *resource == source.display().to_string()),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_store_that_comes_late_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let mut config = objects("key", "secret-key", "granary");
    config.endpoint = format!("http://{address}").parse().unwrap();
    config.public_endpoint = config.endpoint.clone();
    let world = World::with(
        &Backend::Embedded,
        folder,
        config,
        Front::before(address).await,
    )
    .await;
    let session = world.open("s").await;
    let status = world.create(&session, &[("a", b"1")]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("object store cannot be reached"),
        "{status:?}"
    );
    assert!(world.storage.check().await.is_err());
    embedded_store(
        world.folder.path(),
        TcpListener::bind(address).await.unwrap(),
    );
    let uploaded = world.send(&session, vec![world.file("a", b"1")]).await;
    assert_eq!(uploaded.files, 1);
    eventually(async || world.storage.check().await.ok()).await;
}
