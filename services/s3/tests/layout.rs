//! What lies on the disk, and what of it the endpoint takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "helpers of tests stop at the first thing that is not as it should be, and tests spawn"
)]

mod common;

use std::{fs, path::Path};

use common::Embedded;
use granary_s3::{Error, Options, Server};
use http::Method;
use object_store::{ObjectStore as _, ObjectStoreExt as _, local::LocalFileSystem};

fn temp_files(root: &Path) -> usize {
    fs::read_dir(root.join(".tmp")).unwrap().count()
}

#[tokio::test]
async fn objects_are_files_that_object_store_reads_too() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let local = LocalFileSystem::new_with_prefix(root.path().join("ready-made")).unwrap();
    for key in [
        "plain",
        "a b/c+d",
        "100%/%20",
        "[a]{b}~^",
        "\u{e4}",
        "a\u{308}",
        "x#y",
        "日本/語",
        &"ü".repeat(127),
    ] {
        bucket.put(key, key.to_owned()).await.expect_status(200);
        let path = root.path().join("ready-made").join(key);
        assert_eq!(fs::read_to_string(&path).unwrap(), key);
        let read = local
            .get(&object_store::path::Path::parse(key).unwrap())
            .await
            .unwrap();
        assert_eq!(read.bytes().await.unwrap(), key);
    }
    // object_store has no name for this one, the file system has.
    bucket.put("line\nbreak", "x").await.expect_status(200);
    assert_eq!(
        fs::read(root.path().join("ready-made/line\nbreak")).unwrap(),
        b"x"
    );
    assert_eq!(temp_files(root.path()), 0);
    let listed: Vec<_> = futures::TryStreamExt::try_collect(local.list(None))
        .await
        .unwrap_or_default();
    assert!(
        listed
            .iter()
            .all(|object: &object_store::ObjectMeta| !object.location.as_ref().contains("tmp"))
    );
}

#[tokio::test]
async fn files_put_there_by_hand_are_objects_and_links_are_not() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let folder = root.path().join("ready-made/by/hand");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("file"), "bytes").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
    assert_eq!(bucket.keys().await, ["by/hand/file"]);
    let get = bucket.get("by/hand/file").await.checked(200);
    assert_eq!(
        (get.text().as_str(), get.header("content-type")),
        ("bytes", "binary/octet-stream")
    );
    bucket
        .call(Method::GET, "by/hand/file")
        .header("if-match", get.header("etag"))
        .send()
        .await
        .expect_status(200);
    bucket
        .get("by/hand/link")
        .await
        .expect_error(404, "NoSuchKey");
}

#[tokio::test]
async fn a_key_and_a_folder_of_its_name_exclude_each_other() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    bucket.put("file", "x").await.expect_status(200);
    bucket.put("folder/below", "x").await.expect_status(200);
    for key in ["file/below", "file/far/below", "folder"] {
        bucket.put(key, "y").await.expect_error(409, "KeyConflict");
        let once = bucket
            .call(Method::PUT, key)
            .header("if-none-match", "*")
            .body("y")
            .send()
            .await;
        once.expect_error(409, "KeyConflict");
    }
    assert_eq!(bucket.keys().await, ["file", "folder/below"]);
    assert_eq!(temp_files(root.path()), 0);
    bucket
        .call(Method::DELETE, "file")
        .send()
        .await
        .expect_status(204);
    bucket
        .call(Method::DELETE, "folder/below")
        .send()
        .await
        .expect_status(204);
    bucket.put("file/below", "y").await.expect_status(200);
    bucket.put("folder", "y").await.expect_status(200);
}

#[tokio::test]
async fn refused_writes_leave_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let bad = bucket
        .call(Method::PUT, "new/folder/a")
        .header("x-amz-checksum-crc32c", "AAAAAA==")
        .body(vec![1; 2_000_000]);
    bad.send().await.expect_error(400, "BadDigest");
    let long = "x".repeat(2_100);
    let meta = bucket
        .call(Method::PUT, "new/folder/b")
        .header("x-amz-meta-a", &long)
        .body("x");
    meta.send().await.expect_error(400, "MetadataTooLarge");
    assert_eq!(temp_files(root.path()), 0);
    assert_eq!(
        fs::read_dir(root.path().join("ready-made"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn as_much_metadata_as_is_allowed_fits() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let (meta, name) = ("x".repeat(2_000), "y".repeat(800));
    let call = bucket.call(Method::PUT, "a").header("x-amz-meta-a", &meta);
    let call = call.header("content-disposition", &name).body("x");
    call.send().await.expect_status(200);
    let head = bucket.head("a").await.checked(200);
    assert_eq!(head.header("x-amz-meta-a"), meta);
    assert_eq!(head.header("content-disposition"), name);
}

#[tokio::test]
async fn a_folder_removed_by_hand_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    bucket.put("a/b/c", "x").await.expect_status(200);
    fs::remove_dir_all(root.path().join("ready-made/a")).unwrap();
    bucket.put("a/b/d", "x").await.expect_status(200);
    assert_eq!(bucket.keys().await, ["a/b/d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_come_and_go_under_many_writers() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let writer = |n: u32| {
        let bucket = server.target.bucket("ready-made");
        tokio::spawn(async move {
            let key = format!("shared/folder/{n}");
            for _ in 0..30 {
                bucket.put(&key, "x").await.expect_status(200);
                bucket.get(&key).await.expect_status(200);
                bucket
                    .call(Method::DELETE, &key)
                    .send()
                    .await
                    .expect_status(204);
            }
        })
    };
    for writing in (0..4).map(writer).collect::<Vec<_>>() {
        writing.await.unwrap();
    }
    assert_eq!(
        fs::read_dir(root.path().join("ready-made"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn leftovers_of_a_killed_process_are_cleared() {
    let root = tempfile::tempdir().unwrap();
    Embedded::start(root.path()).await.stop().await;
    fs::write(root.path().join(".tmp/half"), "x").unwrap();
    fs::create_dir_all(root.path().join(".tmp/folder/inside")).unwrap();
    // Completed, but for the removal of the rest.
    fs::create_dir_all(
        root.path()
            .join(".multipart/0123456789abcdef0123456789abcdef"),
    )
    .unwrap();
    let server = Embedded::start(root.path()).await;
    assert_eq!(temp_files(root.path()), 0);
    assert_eq!(
        fs::read_dir(root.path().join(".multipart"))
            .unwrap()
            .count(),
        0
    );
    server.stop().await;
}

#[test]
fn a_folder_is_served_once() {
    let root = tempfile::tempdir().unwrap();
    let first = Server::open(common::options(root.path())).unwrap();
    let second = Server::open(common::options(root.path())).unwrap_err();
    assert!(matches!(second, Error::InUse { .. }), "{second}");
    drop(first);
    Server::open(common::options(root.path())).unwrap();
}

#[test]
fn senseless_options_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let good = common::options(root.path());
    let no_secret = Server::open(Options {
        secret_key: String::new(),
        ..good.clone()
    })
    .unwrap_err();
    assert!(matches!(no_secret, Error::NoCredentials));
    let bad_bucket = Server::open(Options {
        buckets: vec!["Not A Bucket".into()],
        ..good.clone()
    })
    .unwrap_err();
    assert_eq!(
        bad_bucket.to_string(),
        "\"Not A Bucket\" is no bucket name: use 3 to 63 lower-case letters, digits, dots and hyphens"
    );
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        Server::open(Options { root: file, ..good }).unwrap_err(),
        Error::Folder { .. }
    ));
}
