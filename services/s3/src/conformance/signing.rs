//! Nothing without a valid signature.

use http::Method;

use super::{Scratch, Target, integrity::sha256};

async fn with_object(target: &Target) -> Scratch {
    let bucket = target.scratch().await;
    bucket.put("secret", "x").await.expect_status(200);
    bucket
}

/// Anonymous requests of every kind.
pub async fn nothing_without_a_signature(target: &Target) {
    let bucket = with_object(target).await;
    for (method, key) in [
        (Method::GET, "secret"),
        (Method::HEAD, "secret"),
        (Method::PUT, "secret"),
        (Method::PUT, "new"),
        (Method::DELETE, "secret"),
        (Method::GET, ""),
        (Method::DELETE, ""),
    ] {
        let call = bucket
            .call(method.clone(), key)
            .body(if method == Method::PUT { "y" } else { "" });
        let mut bare = call.url();
        bare.set_query(None);
        let answer = call.send_to(bare).await.checked(403);
        assert!(
            method == Method::HEAD || answer.tags("Code") == ["AccessDenied"],
            "{}",
            answer.text()
        );
    }
    assert_eq!(bucket.keys().await, ["secret"]);
    assert_eq!(bucket.get("secret").await.checked(200).body, "x");
}

/// A key that the store does not know, and one that it knows with another secret.
pub async fn foreign_keys_are_refused(target: &Target) {
    let bucket = with_object(target).await;
    bucket
        .with_keys("AKIAFOREIGN", "secret")
        .get("secret")
        .await
        .expect_error(403, "InvalidAccessKeyId");
    let own = bucket.call(Method::GET, "secret").url();
    let credential = own
        .query_pairs()
        .find(|(name, _)| name == "X-Amz-Credential")
        .unwrap()
        .1
        .into_owned();
    let known = credential.split('/').next().unwrap();
    bucket
        .with_keys(known, "wrong secret")
        .get("secret")
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    bucket
        .with_keys(known, "wrong secret")
        .put("secret", vec![1; 3_000_000])
        .await
        .expect_error(403, "SignatureDoesNotMatch");
}

/// Past its time, and before it.
pub async fn an_expired_url_is_refused(target: &Target) {
    let bucket = with_object(target).await;
    bucket
        .call(Method::GET, "secret")
        .signed_ago(120, 60)
        .send()
        .await
        .expect_error(403, "AccessDenied");
    bucket
        .call(Method::PUT, "new")
        .signed_ago(120, 60)
        .body(vec![1; 3_000_000])
        .send()
        .await
        .expect_error(403, "AccessDenied");
    bucket
        .call(Method::GET, "secret")
        .signed_ago(-3_600, 60)
        .send()
        .await
        .expect_status(403);
    bucket
        .call(Method::GET, "secret")
        .signed_ago(30, 60)
        .send()
        .await
        .expect_status(200);
    assert_eq!(bucket.keys().await, ["secret"]);
}

/// Another key, method, parameter or expiry than the signed one.
pub async fn a_changed_url_is_refused(target: &Target) {
    let bucket = with_object(target).await;
    let url = bucket.call(Method::GET, "secret").url();
    let mut other_key = url.clone();
    other_key.set_path(&format!("/{}/secret2", bucket.name()));
    let more = url.query().unwrap().to_owned() + "&response-content-type=text%2Fhtml";
    let mut parameter = url.clone();
    parameter.set_query(Some(&more));
    let longer = url
        .query()
        .unwrap()
        .replace("X-Amz-Expires=60", "X-Amz-Expires=604800");
    let mut expiry = url.clone();
    expiry.set_query(Some(&longer));
    for changed in [other_key, parameter, expiry] {
        assert_ne!(changed, url);
        bucket
            .call(Method::GET, "secret")
            .send_to(changed)
            .await
            .expect_error(403, "SignatureDoesNotMatch");
    }
    bucket
        .call(Method::DELETE, "secret")
        .send_to(url.clone())
        .await
        .expect_error(403, "SignatureDoesNotMatch");
    bucket
        .call(Method::GET, "secret")
        .send_to(url)
        .await
        .expect_status(200);
}

/// A URL that was signed for one file, written once, is good for nothing else.
pub async fn signed_headers_are_demanded(target: &Target) {
    let bucket = target.scratch().await;
    let body = "the file";
    let (sum, length) = (sha256(body.as_bytes()), body.len().to_string());
    let headers = [
        ("if-none-match", "*"),
        ("x-amz-checksum-sha256", sum.as_str()),
        ("content-length", length.as_str()),
    ];
    let signed = headers
        .iter()
        .fold(bucket.call(Method::PUT, "a"), |call, (name, value)| {
            call.header(name, value)
        });
    let url = signed.url();
    for (left_out, _) in headers {
        let call = headers
            .iter()
            .filter(|(name, _)| *name != left_out)
            .fold(bucket.call(Method::PUT, "a"), |call, (name, value)| {
                call.header(name, value)
            });
        // The length is always sent: here another one, with other bytes.
        let other = if left_out == "content-length" {
            "other, longer bytes"
        } else {
            body
        };
        call.body(other).send_to(url.clone()).await.expect_refused();
    }
    let other = sha256(b"other");
    let changed = bucket
        .call(Method::PUT, "a")
        .header("if-none-match", "*")
        .header("x-amz-checksum-sha256", &other)
        .header("content-length", "5");
    changed
        .body("other")
        .send_to(url.clone())
        .await
        .expect_refused();
    assert_eq!(bucket.keys().await, [""; 0]);
    signed.clone().body(body).send().await.expect_status(200);
    signed
        .body(body)
        .send()
        .await
        .expect_error(412, "PreconditionFailed");
}
