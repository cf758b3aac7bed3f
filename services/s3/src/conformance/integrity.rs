//! Nothing is overwritten, damaged or half there.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use http::Method;
use s3s::crypto::{Checksum as _, Crc32c, Md5, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Target;

/// The header of the SHA-256 of a body.
pub(super) fn sha256(body: &[u8]) -> String {
    STANDARD.encode(Sha256::checksum(body))
}

/// The header of the CRC-32C of a body.
pub(super) fn crc32c(body: &[u8]) -> String {
    STANDARD.encode(Crc32c::checksum(body))
}

/// `If-None-Match: *` refuses a taken name and leaves what is there.
pub async fn a_name_is_given_once_if_so_demanded(target: &Target) {
    let bucket = target.scratch().await;
    let once = |body: &'static str| {
        bucket
            .call(Method::PUT, "a/b")
            .header("if-none-match", "*")
            .body(body)
            .send()
    };
    once("first").await.expect_status(200);
    once("second").await.expect_error(412, "PreconditionFailed");
    assert_eq!(bucket.get("a/b").await.checked(200).body, "first");
    bucket
        .call(Method::DELETE, "a/b")
        .send()
        .await
        .expect_status(204);
    once("third").await.expect_status(200);
    assert_eq!(bucket.get("a/b").await.checked(200).body, "third");
}

/// Sixteen writers of one name, each with other bytes.
pub async fn of_many_writers_exactly_one_wins(target: &Target) {
    let bucket = target.scratch().await;
    let writers = (0..16_u8).map(|n| {
        bucket
            .call(Method::PUT, "new/folder/raced")
            .header("if-none-match", "*")
            .body(vec![n; 300_000 + usize::from(n)])
            .send()
    });
    let statuses: Vec<u16> = join_all(writers)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    let winner = statuses
        .iter()
        .position(|status| *status == 200)
        .expect("somebody wins");
    // A store may also ask a loser to try again.
    assert!(
        statuses
            .iter()
            .enumerate()
            .all(|(n, status)| n == winner || [412, 409].contains(status)),
        "{statuses:?}"
    );
    let body = bucket.get("new/folder/raced").await.checked(200).body;
    assert_eq!(body.len(), 300_000 + winner);
    assert!(body.iter().all(|byte| usize::from(*byte) == winner));
}

/// Each kind of checksum that clients of Granary send.
pub async fn a_wrong_checksum_stores_nothing(target: &Target) {
    let bucket = target.scratch().await;
    let (body, other) = (vec![7_u8; 700_000], b"other bytes");
    let md5 = |bytes: &[u8]| STANDARD.encode(Md5::checksum(bytes));
    let (right, wrong) = (
        [
            ("x-amz-checksum-sha256", sha256(&body)),
            ("x-amz-checksum-crc32c", crc32c(&body)),
            ("content-md5", md5(&body)),
        ],
        [sha256(other), crc32c(other), md5(other)],
    );
    for ((name, value), wrong) in right.iter().zip(&wrong) {
        let answer = bucket
            .call(Method::PUT, name)
            .header(name, wrong)
            .body(body.clone())
            .send()
            .await
            .checked(400);
        assert!(
            ["BadDigest", "XAmzContentChecksumMismatch"].contains(&answer.tags("Code")[0].as_str()),
            "{}",
            answer.text()
        );
        bucket.head(name).await.expect_status(404);
        bucket
            .call(Method::PUT, name)
            .header(name, value)
            .body(body.clone())
            .send()
            .await
            .expect_status(200);
    }
    bucket
        .call(Method::PUT, "none")
        .header("x-amz-checksum-sha256", "no base64")
        .body("x")
        .send()
        .await
        .expect_status(400);
    assert_eq!(bucket.keys().await.len(), 3);
}

/// What was there before a damaged write is still there.
pub async fn a_wrong_checksum_replaces_nothing(target: &Target) {
    let bucket = target.scratch().await;
    bucket.put("a", "first").await.expect_status(200);
    bucket
        .call(Method::PUT, "a")
        .header("x-amz-checksum-sha256", &sha256(b"x"))
        .body("second")
        .send()
        .await
        .expect_status(400);
    assert_eq!(bucket.get("a").await.checked(200).body, "first");
}

/// A connection that ends in the middle of a body.
pub async fn a_body_that_breaks_off_stores_nothing(target: &Target) {
    let bucket = target.scratch().await;
    let url = bucket.call(Method::PUT, "broken").url();
    let mut stream = TcpStream::connect(target.address()).await.unwrap();
    let path = format!("{}?{}", url.path(), url.query().unwrap());
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 2000000\r\n\r\n",
        target.address()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[1; 1_500_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    // The server has noticed when it answers or closes.
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    bucket.head("broken").await.expect_status(404);
    assert_eq!(bucket.keys().await, [""; 0]);
}

/// A checksum that was sent can be asked for.
pub async fn checksums_are_remembered(target: &Target) {
    let bucket = target.scratch().await;
    let sums = [
        ("x-amz-checksum-sha256", sha256(b"x")),
        ("x-amz-checksum-crc32c", crc32c(b"x")),
    ];
    for (name, sum) in &sums {
        bucket
            .call(Method::PUT, name)
            .header(name, sum)
            .body("x")
            .send()
            .await
            .expect_status(200);
        let head = bucket
            .call(Method::HEAD, name)
            .header("x-amz-checksum-mode", "ENABLED")
            .send()
            .await
            .checked(200);
        assert_eq!(head.header(name), sum);
        assert_eq!(bucket.head(name).await.checked(200).header(name), "");
    }
}
