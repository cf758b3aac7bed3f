//! Files come back as they were.

use std::{fs, path::Path};

use crate::world::{Told, World, each, noise, project};
use granary_core::Error;
use granary_proto::storage::v1::BatchCreateDownloadsRequest;
use tonic::Code;

const MIB: usize = 1 << 20;

fn partial(path: &Path) -> std::path::PathBuf {
    path.with_file_name(format!(
        "{}.granary-part",
        path.file_name().unwrap().to_str().unwrap()
    ))
}

#[tokio::test]
async fn files_are_fetched_once_and_checked() {
    each(async |world: World| {
        let session = world.open("s").await;
        let contents = [
            ("a", noise(5000, 1)),
            ("empty", vec![]),
            ("sub/big", noise(9 * MIB, 2)),
        ];
        world
            .send(
                &session,
                contents
                    .iter()
                    .map(|(name, bytes)| world.file(name, bytes))
                    .collect(),
            )
            .await;
        let wanted: Vec<_> = contents
            .iter()
            .map(|(name, bytes)| world.wanted(session.asset(name), name, bytes))
            .collect();
        let told = Told::default();
        let fetched = world
            .downloader()
            .download(&project(), wanted.clone(), &told)
            .await
            .unwrap();
        assert_eq!(
            (fetched.files, fetched.skipped, fetched.bytes),
            (3, 0, 5000 + 9 * MIB as u64)
        );
        assert_eq!((told.of("done"), told.of("sent")), (3, fetched.bytes));
        for (file, (_, bytes)) in wanted.iter().zip(&contents) {
            assert!(fs::read(&file.to).unwrap() == *bytes);
            assert!(!partial(&file.to).exists());
        }
        let before = world.front.count("GET", "/recordings/");
        let again = world.fetch(wanted).await;
        assert_eq!((again.files, again.skipped, again.bytes), (3, 3, 0));
        assert_eq!(
            world.front.count("GET", "/recordings/"),
            before,
            "nothing had to be fetched"
        );
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_download_goes_on_where_it_was() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(3 * MIB, 3);
        world.send(&session, vec![world.file("a", &bytes)]).await;
        let wanted = world.wanted(session.asset("a"), "a", &bytes);
        fs::create_dir_all(wanted.to.parent().unwrap()).unwrap();
        fs::write(partial(&wanted.to), &bytes[..2 * MIB]).unwrap();
        let fetched = world.fetch(vec![wanted.clone()]).await;
        assert_eq!(fetched.bytes, MIB as u64);
        assert!(fs::read(&wanted.to).unwrap() == bytes);
    })
    .await;
}

#[tokio::test]
async fn a_damaged_beginning_is_fetched_again() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(2 * MIB, 4);
        world.send(&session, vec![world.file("a", &bytes)]).await;
        let wanted = world.wanted(session.asset("a"), "a", &bytes);
        fs::create_dir_all(wanted.to.parent().unwrap()).unwrap();
        for damaged in [noise(MIB, 5), noise(2 * MIB, 5), noise(5 * MIB, 5)] {
            fs::write(partial(&wanted.to), damaged).unwrap();
            world.fetch(vec![wanted.clone()]).await;
            assert!(fs::read(&wanted.to).unwrap() == bytes);
            fs::write(&wanted.to, b"something else").unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn an_object_that_rotted_is_reported_and_nothing_is_left() {
    each(async |world: World| {
        let session = world.open("s").await;
        let bytes = noise(5000, 6);
        world.send(&session, vec![world.file("a", &bytes)]).await;
        world
            .overwrite(&world.asset(&session, "a").await.uri, noise(5000, 7))
            .await;
        let wanted = world.wanted(session.asset("a"), "a", &bytes);
        let error = world
            .downloader()
            .download(&project(), vec![wanted.clone()], &Told::default())
            .await
            .unwrap_err();
        assert!(matches!(error, Error::DataLoss { .. }), "{error}");
        assert!(!wanted.to.exists() && !partial(&wanted.to).exists());
    })
    .await;
}

#[tokio::test]
async fn what_is_pending_or_missing_cannot_be_fetched() {
    let world = World::embedded().await;
    let session = world.open("s").await;
    world.create(&session, &[("pending", b"1")]).await.unwrap();
    let sign = async |assets: Vec<String>| {
        let request = BatchCreateDownloadsRequest {
            parent: project().to_string(),
            assets,
        };
        world
            .downloads()
            .batch_create_downloads(request)
            .await
            .unwrap_err()
    };
    assert_eq!(
        sign(vec![session.asset("pending").to_string()])
            .await
            .code(),
        Code::FailedPrecondition
    );
    assert_eq!(
        sign(vec![session.asset("none").to_string()]).await.code(),
        Code::NotFound
    );
    assert_eq!(sign(vec![]).await.code(), Code::InvalidArgument);
    let other = sign(vec!["projects/other/datasets/d/assets/a".into()]).await;
    assert!(
        other.code() == Code::InvalidArgument && other.message().starts_with("assets[0]: "),
        "{other:?}"
    );
}
