//! Uploads in parts across the end of the process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests stop at the first thing that is not as it should be"
)]

mod common;

use std::{fs, os::unix::fs::MetadataExt as _};

use common::Embedded;
use granary_s3::conformance::Scratch;
use http::Method;

const PART: usize = 5 << 20;

async fn begin(bucket: &Scratch) -> String {
    bucket
        .call(Method::POST, "big")
        .query("uploads", "")
        .send()
        .await
        .checked(200)
        .tags("UploadId")
        .remove(0)
}

async fn part(bucket: &Scratch, id: &str, number: u32, body: Vec<u8>) -> String {
    let call = bucket
        .call(Method::PUT, "big")
        .query("partNumber", &number.to_string())
        .query("uploadId", id);
    call.body(body)
        .send()
        .await
        .checked(200)
        .header("etag")
        .to_owned()
}

fn list_of(tags: &[String]) -> String {
    let parts = tags.iter().zip(1..).map(|(tag, number)| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
    });
    format!(
        "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
        parts.collect::<String>()
    )
}

async fn complete(bucket: &Scratch, id: &str, tags: &[String]) -> granary_s3::conformance::Answer {
    bucket
        .call(Method::POST, "big")
        .query("uploadId", id)
        .header("if-none-match", "*")
        .body(list_of(tags))
        .send()
        .await
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let id = begin(&bucket).await;
    // The third comes before anybody knows the size of a part, and lies in a file of its own.
    let third = part(&bucket, &id, 3, vec![3; 1_000]).await;
    let first = part(&bucket, &id, 1, vec![1; PART]).await;
    server.stop().await;

    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let listed = bucket
        .call(Method::GET, "big")
        .query("uploadId", &id)
        .send()
        .await
        .checked(200);
    assert_eq!(
        (listed.tags("PartNumber"), listed.tags("ETag")),
        (
            vec!["1".into(), "3".into()],
            vec![first.clone(), third.clone()]
        )
    );
    let uploads = bucket
        .call(Method::GET, "")
        .query("uploads", "")
        .send()
        .await
        .checked(200);
    assert_eq!(
        (uploads.tags("Key"), uploads.tags("UploadId")),
        (vec!["big".to_owned()], vec![id.clone()])
    );
    let second = part(&bucket, &id, 2, vec![2; PART]).await;
    complete(&bucket, &id, &[first, second, third])
        .await
        .expect_status(200);
    let expected = [vec![1; PART], vec![2; PART], vec![3; 1_000]].concat();
    assert!(bucket.get("big").await.checked(200).body == expected);
    assert_eq!(
        fs::read_dir(root.path().join(".multipart"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn completing_names_the_file_and_copies_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let id = begin(&bucket).await;
    let data = fs::metadata(root.path().join(".multipart").join(&id).join("data"))
        .unwrap()
        .ino();
    let tags = [
        part(&bucket, &id, 1, vec![1; PART]).await,
        part(&bucket, &id, 2, vec![2; 10]).await,
    ];
    complete(&bucket, &id, &tags).await.expect_status(200);
    let object = root.path().join("ready-made/big");
    assert_eq!(fs::metadata(object).unwrap().ino(), data);
}

#[tokio::test]
async fn a_client_that_missed_the_answer_may_ask_again() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let id = begin(&bucket).await;
    let tags = [part(&bucket, &id, 1, vec![1; 100]).await];
    let first = complete(&bucket, &id, &tags).await.checked(200);
    let again = complete(&bucket, &id, &tags).await.checked(200);
    assert_eq!(first.tags("ETag"), again.tags("ETag"));
    complete(&bucket, &id, &["\"other-1\"".to_owned()])
        .await
        .expect_error(404, "NoSuchUpload");
    bucket.put("big", "another object").await.expect_status(200);
    complete(&bucket, &id, &tags)
        .await
        .expect_error(404, "NoSuchUpload");
}

#[tokio::test]
async fn a_part_that_broke_off_is_no_part_and_its_place_is_free() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    let id = begin(&bucket).await;
    let call = bucket
        .call(Method::PUT, "big")
        .query("partNumber", "1")
        .query("uploadId", &id)
        .header("x-amz-checksum-crc32c", "AAAAAA==");
    call.body(vec![9; PART + 1_000])
        .send()
        .await
        .expect_error(400, "BadDigest");
    let first = part(&bucket, &id, 1, vec![1; PART]).await;
    complete(&bucket, &id, &[first]).await.expect_status(200);
    assert!(bucket.get("big").await.checked(200).body == vec![1; PART]);
}
