//! Reading parts of objects, and only when something changed.

use bytes::Bytes;
use http::Method;

use super::Target;

/// Ranges from both ends, to the end, past the end.
pub async fn ranges_are_cut_as_http_says(target: &Target) {
    let bucket = target.scratch().await;
    bucket.put("ten", "0123456789").await.expect_status(200);
    for (range, body, said) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let answer = bucket
            .call(Method::GET, "ten")
            .header("range", range)
            .send()
            .await
            .checked(206);
        assert_eq!(
            (answer.text().as_str(), answer.header("content-range")),
            (body, said),
            "{range}"
        );
        assert_eq!(answer.header("content-length"), body.len().to_string());
    }
    bucket
        .call(Method::GET, "ten")
        .header("range", "bytes=10-")
        .send()
        .await
        .expect_error(416, "InvalidRange");
    bucket.put("empty", "").await.expect_status(200);
    bucket
        .call(Method::GET, "empty")
        .header("range", "bytes=0-")
        .send()
        .await
        .expect_error(416, "InvalidRange");
}

/// If-Match and If-None-Match, and the same by time.
pub async fn conditions_on_reads_hold(target: &Target) {
    let bucket = target.scratch().await;
    let put = bucket.put("a", "x").await.checked(200);
    let tag = put.header("etag");
    let modified = bucket
        .head("a")
        .await
        .checked(200)
        .header("last-modified")
        .to_owned();
    let old = "Mon, 01 Jan 2001 00:00:00 GMT";
    for (name, value, status) in [
        ("if-match", tag, 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", tag, 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", modified.as_str(), 304),
        ("if-modified-since", old, 200),
        ("if-unmodified-since", modified.as_str(), 200),
        ("if-unmodified-since", old, 412),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = bucket
                .call(method.clone(), "a")
                .header(name, value)
                .send()
                .await;
            assert_eq!(answer.status, status, "{method} with {name}: {value}");
            if status == 304 {
                assert!(answer.body.is_empty());
            }
        }
    }
}

/// A presigned URL can say how a browser should take the object.
pub async fn an_answer_can_override_headers(target: &Target) {
    let bucket = target.scratch().await;
    bucket.put("a", "x").await.expect_status(200);
    let call = bucket
        .call(Method::GET, "a")
        .query("response-content-type", "text/csv");
    let answer = call
        .query("response-content-disposition", "attachment; filename=a.csv")
        .send()
        .await
        .checked(200);
    assert_eq!(answer.header("content-type"), "text/csv");
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=a.csv"
    );
}

/// Several megabytes, whole and in part.
pub async fn a_large_object_streams(target: &Target) {
    let bucket = target.scratch().await;
    let body: Bytes = (0..3_000_001_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect::<Vec<u8>>()
        .into();
    bucket.put("large", body.clone()).await.expect_status(200);
    assert!(bucket.get("large").await.checked(200).body == body);
    let part = bucket
        .call(Method::GET, "large")
        .header("range", "bytes=1000000-2999999")
        .send()
        .await
        .checked(206);
    assert!(part.body == body.slice(1_000_000..3_000_000));
}
