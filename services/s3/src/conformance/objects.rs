//! Whole objects, and buckets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use s3s::crypto::{Checksum as _, Md5};

use super::Target;

/// Bytes, length and a tag come back; the answer to HEAD says the same without them.
pub async fn an_object_comes_back_as_it_was_sent(target: &Target) {
    let bucket = target.scratch().await;
    for (key, body) in [
        ("empty", &b""[..]),
        ("folder/small", b"hello"),
        ("folder/deeper/binary", &[0, 255, 10, 13, 0]),
    ] {
        let put = bucket.put(key, body).await.checked(200);
        let get = bucket.get(key).await.checked(200);
        assert_eq!(get.body, body);
        let head = bucket.head(key).await.checked(200);
        for answer in [&get, &head] {
            assert_eq!(answer.header("content-length"), body.len().to_string());
            assert_eq!(answer.header("etag"), put.header("etag"));
            assert!(!answer.header("last-modified").is_empty());
            assert_eq!(answer.header("accept-ranges"), "bytes");
        }
        assert!(put.header("etag").starts_with('"') && put.header("etag").len() > 10);
    }
}

/// What describes an object is kept with it.
pub async fn headers_and_metadata_come_back(target: &Target) {
    let bucket = target.scratch().await;
    let sent = [
        ("content-type", "image/png"),
        ("cache-control", "max-age=60"),
        ("content-disposition", "attachment; filename=\"a b.png\""),
        ("content-encoding", "gzip"),
        ("content-language", "de"),
        ("x-amz-meta-session", "20210229_161221"),
        ("x-amz-meta-empty", ""),
    ];
    let call = sent.iter().fold(
        bucket.call(Method::PUT, "described"),
        |call, (name, value)| call.header(name, value),
    );
    call.body("x").send().await.expect_status(200);
    for answer in [
        bucket.head("described").await.checked(200),
        bucket.get("described").await.checked(200),
    ] {
        for (name, value) in sent {
            assert_eq!(answer.header(name), value, "{name}");
        }
    }
}

/// Nothing of an older, longer or otherwise described object shines through.
pub async fn a_second_write_replaces_all_of_the_first(target: &Target) {
    let bucket = target.scratch().await;
    let first = bucket
        .call(Method::PUT, "a")
        .header("content-type", "text/plain")
        .header("x-amz-meta-a", "1")
        .body("the longer one");
    let first = first.send().await.checked(200);
    let second = bucket.put("a", "short").await.checked(200);
    assert_ne!(first.header("etag"), second.header("etag"));
    let get = bucket.get("a").await.checked(200);
    assert_eq!(get.body, "short");
    assert_eq!(
        (get.header("content-type"), get.header("x-amz-meta-a")),
        ("binary/octet-stream", "")
    );
}

/// What is not there counts as deleted.
pub async fn deleting_is_idempotent(target: &Target) {
    let bucket = target.scratch().await;
    bucket.put("a/b", "x").await.expect_status(200);
    for _ in 0..2 {
        bucket
            .call(Method::DELETE, "a/b")
            .send()
            .await
            .expect_status(204);
    }
    bucket.get("a/b").await.expect_error(404, "NoSuchKey");
    assert_eq!(bucket.keys().await, [""; 0]);
    bucket
        .call(Method::DELETE, "")
        .send()
        .await
        .expect_status(204);
}

/// Deletes several keys in one request, some of them missing.
pub async fn many_are_deleted_at_once(target: &Target) {
    let bucket = target.scratch().await;
    for key in ["a", "b/c", "b/d", "kept"] {
        bucket.put(key, "x").await.expect_status(200);
    }
    let objects: String = ["a", "b/c", "b/d", "missing"]
        .iter()
        .map(|key| format!("<Object><Key>{key}</Key></Object>"))
        .collect();
    let body = format!("<Delete>{objects}</Delete>");
    let md5 = STANDARD.encode(Md5::checksum(body.as_bytes()));
    let call = bucket
        .call(Method::POST, "")
        .query("delete", "")
        .header("content-md5", &md5)
        .body(body);
    let mut deleted = call.send().await.checked(200).tags("Key");
    deleted.sort();
    assert_eq!(deleted, ["a", "b/c", "b/d", "missing"]);
    assert_eq!(bucket.keys().await, ["kept"]);
}

/// A copy inside the store, which leaves the source as it was.
pub async fn a_copy_has_the_bytes_and_the_metadata(target: &Target) {
    let bucket = target.scratch().await;
    let source = "from here/ä+%.bin";
    bucket
        .call(Method::PUT, source)
        .header("content-type", "image/png")
        .header("x-amz-meta-a", "1")
        .body("bytes")
        .send()
        .await
        .expect_status(200);
    let encoded = format!("{}/from%20here/%C3%A4%2B%25.bin", bucket.name());
    let copy = bucket
        .call(Method::PUT, "to/there")
        .header("x-amz-copy-source", &encoded)
        .send()
        .await
        .checked(200);
    assert_eq!(copy.tags("ETag").len(), 1, "{}", copy.text());
    let get = bucket.get("to/there").await.checked(200);
    assert_eq!(
        (
            get.body.as_ref(),
            get.header("content-type"),
            get.header("x-amz-meta-a")
        ),
        (&b"bytes"[..], "image/png", "1")
    );
    assert_eq!(bucket.get(source).await.checked(200).body, "bytes");
    let missing = bucket
        .call(Method::PUT, "x")
        .header("x-amz-copy-source", &format!("{}/none", bucket.name()))
        .send()
        .await;
    missing.expect_error(404, "NoSuchKey");
}

/// A copy with other metadata, also onto itself.
pub async fn a_copy_may_replace_the_metadata(target: &Target) {
    let bucket = target.scratch().await;
    bucket
        .call(Method::PUT, "a")
        .header("x-amz-meta-a", "1")
        .body("bytes")
        .send()
        .await
        .expect_status(200);
    let source = format!("{}/a", bucket.name());
    bucket
        .call(Method::PUT, "a")
        .header("x-amz-copy-source", &source)
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-meta-b", "2")
        .send()
        .await
        .expect_status(200);
    let get = bucket.get("a").await.checked(200);
    assert_eq!(
        (
            get.header("x-amz-meta-a"),
            get.header("x-amz-meta-b"),
            get.text().as_str()
        ),
        ("", "2", "bytes")
    );
    bucket
        .call(Method::PUT, "a")
        .header("x-amz-copy-source", &source)
        .send()
        .await
        .expect_error(400, "InvalidRequest");
}

/// Missing keys and buckets have the codes that clients act on.
pub async fn what_is_missing_is_named(target: &Target) {
    let bucket = target.scratch().await;
    bucket.put("folder/file", "x").await.expect_status(200);
    bucket.get("missing").await.expect_error(404, "NoSuchKey");
    bucket.get("folder").await.expect_error(404, "NoSuchKey");
    bucket
        .get("folder/file/below")
        .await
        .expect_error(404, "NoSuchKey");
    bucket.head("missing").await.expect_status(404);
    bucket
        .call(Method::HEAD, "")
        .send()
        .await
        .expect_status(200);
    let nowhere = target.bucket("conformance-of-nothing");
    nowhere.get("a").await.expect_error(404, "NoSuchBucket");
    nowhere
        .put("a", "x")
        .await
        .expect_error(404, "NoSuchBucket");
    nowhere
        .call(Method::GET, "")
        .query("list-type", "2")
        .send()
        .await
        .expect_error(404, "NoSuchBucket");
    nowhere
        .call(Method::HEAD, "")
        .send()
        .await
        .expect_status(404);
}

/// A bucket goes only when it is empty, and comes only once.
pub async fn a_bucket_with_objects_is_not_deleted(target: &Target) {
    let bucket = target.scratch().await;
    bucket.put("a/b/c", "x").await.expect_status(200);
    bucket
        .call(Method::DELETE, "")
        .send()
        .await
        .expect_error(409, "BucketNotEmpty");
    bucket
        .call(Method::PUT, "")
        .send()
        .await
        .expect_error(409, "BucketAlreadyOwnedByYou");
    bucket
        .call(Method::DELETE, "a/b/c")
        .send()
        .await
        .expect_status(204);
    bucket
        .call(Method::DELETE, "")
        .send()
        .await
        .expect_status(204);
    bucket
        .call(Method::HEAD, "")
        .send()
        .await
        .expect_status(404);
}
