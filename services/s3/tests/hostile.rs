//! Requests that no honest client makes. Signed by hand, because clients refuse to write them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests stop at the first thing that is not as it should be"
)]

mod common;

use std::fs;

use common::{Embedded, KEYS};
use http::Method;
use s3s::crypto::{Checksum as _, Md5, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner =
        Sha256::checksum(&[block.map(|byte| byte ^ 0x36).as_slice(), text.as_bytes()].concat());
    Sha256::checksum(&[block.map(|byte| byte ^ 0x5c).as_slice(), &inner].concat())
}

/// The text of a request with a body and a signature in the header; the path is sent as it stands.
fn signed(method: &str, path: &str, host: &str, body: &str) -> String {
    let now = time::OffsetDateTime::now_utc();
    let day = format!(
        "{:04}{:02}{:02}",
        now.year(),
        u8::from(now.month()),
        now.day()
    );
    let date = format!(
        "{day}T{:02}{:02}{:02}Z",
        now.hour(),
        now.minute(),
        now.second()
    );
    let (names, payload) = ("host;x-amz-content-sha256;x-amz-date", "UNSIGNED-PAYLOAD");
    let canonical = format!(
        "{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{date}\n\n{names}\n{payload}"
    );
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex::encode(Sha256::checksum(canonical.as_bytes()))
    );
    let first = hmac(format!("AWS4{}", KEYS.1).as_bytes(), &day);
    let key = ["us-east-1", "s3", "aws4_request"]
        .iter()
        .fold(first, |key, part| hmac(&key, part));
    let signature = hex::encode(hmac(&key, &text));
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nx-amz-date: {date}\r\nx-amz-content-sha256: {payload}\r\ncontent-length: {}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}\r\nconnection: close\r\n\r\n{body}",
        body.len(),
        KEYS.0,
    )
}

async fn send(server: &Embedded, request: &str) -> String {
    let mut stream = TcpStream::connect(server.target.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn keys_that_lead_out_of_the_bucket_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("store");
    let server = Embedded::start(&root).await;
    let host = server.target.address();
    let long = format!("/ready-made/{}", "x".repeat(256));
    for (path, code) in [
        ("/ready-made/../../escaped", "InvalidArgument"),
        ("/ready-made/a/../../../escaped", "InvalidArgument"),
        ("/ready-made/..", "InvalidArgument"),
        ("/ready-made/./a", "InvalidArgument"),
        ("/ready-made/a//b", "InvalidArgument"),
        ("/ready-made//etc/passwd", "InvalidArgument"),
        ("/ready-made/a/", "InvalidArgument"),
        ("/ready-made/a%00b", "InvalidArgument"),
        (&long, "KeyTooLongError"),
        (
            &format!("/ready-made/{}", "x/".repeat(600)),
            "KeyTooLongError",
        ),
        ("/.tmp/a", "InvalidBucketName"),
        ("/../a", "InvalidBucketName"),
        ("/.multipart/a", "InvalidBucketName"),
    ] {
        let answer = send(&server, &signed("PUT", path, &host, "x")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(
            answer.contains(&format!("<Code>{code}</Code>")),
            "{path}: {answer}"
        );
    }
    let good = send(&server, &signed("PUT", "/ready-made/good", &host, "x")).await;
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    assert_eq!(server.target.bucket("ready-made").keys().await, ["good"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn hostile_keys_inside_requests_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "x").unwrap();
    let server = Embedded::start(&outside.path().join("store")).await;
    let bucket = server.target.bucket("ready-made");
    let body = "<Delete><Object><Key>../../precious</Key></Object><Object><Key>folder/</Key></Object></Delete>";
    let md5 = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        Md5::checksum(body.as_bytes()),
    );
    let answer = bucket
        .call(Method::POST, "")
        .query("delete", "")
        .header("content-md5", &md5)
        .body(body)
        .send()
        .await
        .checked(200);
    assert_eq!(answer.tags("Code"), ["InvalidArgument"]);
    for source in [
        "ready-made/../../precious",
        "ready-made/%2e%2e/%2e%2e/precious",
        "../precious",
        "/../precious",
    ] {
        let copy = bucket
            .call(Method::PUT, "stolen")
            .header("x-amz-copy-source", source)
            .send()
            .await;
        assert!(
            [400, 404].contains(&copy.status),
            "{source}: {}",
            copy.text()
        );
    }
    assert_eq!(
        bucket.list(&[("prefix", "../../")]).await.tags("Key"),
        [""; 0]
    );
    assert_eq!(bucket.keys().await, [""; 0]);
    assert!(outside.path().join("precious").exists());
}

#[tokio::test]
async fn a_url_for_writing_does_not_read() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    bucket.put("secret", "x").await.expect_status(200);
    let url = bucket.call(Method::PUT, "mine").url();
    for (name, value) in [
        ("x-amz-copy-source", "ready-made/secret"),
        ("x-amz-meta-a", "unsigned"),
    ] {
        let call = bucket.call(Method::PUT, "mine").header(name, value);
        call.send_to(url.clone())
            .await
            .expect_error(403, "AccessDenied");
    }
    assert_eq!(bucket.keys().await, ["secret"]);
}

#[tokio::test]
async fn old_signatures_and_forms_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let host = server.target.address();
    for (request, status) in [
        (
            format!(
                "GET /ready-made?list-type=2 HTTP/1.1\r\nhost: {host}\r\nauthorization: AWS {}:c2lnbmF0dXJl\r\n",
                KEYS.0
            ),
            400,
        ),
        (
            format!(
                "GET /ready-made/a?AWSAccessKeyId={}&Expires=4102444800&Signature=eA%3D%3D HTTP/1.1\r\nhost: {host}\r\n",
                KEYS.0
            ),
            400,
        ),
        (
            format!(
                "POST /ready-made HTTP/1.1\r\nhost: {host}\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: 0\r\n"
            ),
            405,
        ),
    ] {
        let answer = send(&server, &format!("{request}connection: close\r\n\r\n")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let bucket = server.target.bucket("ready-made");
    bucket.put("taken", "x").await.expect_status(200);
    let url = bucket
        .call(Method::PUT, "taken")
        .header("if-none-match", "*")
        .url();
    let path = format!("{}?{}", url.path(), url.query().unwrap());
    let host = server.target.address();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {host}\r\nif-none-match: *\r\nexpect: 100-continue\r\ncontent-length: 9000000\r\n\r\n"
    );
    let answer = send(&server, &head).await;
    assert!(answer.starts_with("HTTP/1.1 412"), "{answer}");
}

#[tokio::test]
async fn a_request_in_flight_is_finished_when_the_server_stops() {
    let root = tempfile::tempdir().unwrap();
    let server = Embedded::start(root.path()).await;
    let host = server.target.address();
    let request = signed("PUT", "/ready-made/late", &host, &"x".repeat(10_000));
    let (first, rest) = request.split_at(request.len() - 5_000);
    let mut stream = TcpStream::connect(&host).await.unwrap();
    // Only a request whose body is awaited counts as in flight.
    let asking = first.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(asking.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let sending = async {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let ((), answer) = tokio::join!(server.stop(), sending);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(
        fs::read(root.path().join("ready-made/late")).unwrap().len(),
        10_000
    );
}
