//! Objects that arrive in parts.

use bytes::Bytes;
use http::Method;

use super::{Answer, Scratch, Target, integrity::crc32c};

/// The least that a part other than the last may have.
const PART: usize = 5 << 20;

/// An upload that is going on.
struct Sending<'a> {
    bucket: &'a Scratch,
    key: &'static str,
    id: String,
}

fn bytes(fill: u8, length: usize) -> Bytes {
    vec![fill; length].into()
}

impl<'a> Sending<'a> {
    async fn begin(bucket: &'a Scratch, key: &'static str) -> Self {
        Self::begin_with(bucket, key, &[]).await
    }

    async fn begin_with(bucket: &'a Scratch, key: &'static str, headers: &[(&str, &str)]) -> Self {
        let call = bucket
            .call(Method::POST, key)
            .query("uploads", "")
            .header("content-type", "image/png");
        let call = headers
            .iter()
            .fold(call, |call, (name, value)| call.header(name, value));
        let id = call.send().await.checked(200).tags("UploadId").remove(0);
        Self { bucket, key, id }
    }

    /// Sends a part the way Granary does; its entity tag.
    async fn part(&self, number: u32, body: &Bytes) -> String {
        self.try_part(number, body, &crc32c(body))
            .await
            .checked(200)
            .header("etag")
            .to_owned()
    }

    async fn try_part(&self, number: u32, body: &Bytes, sum: &str) -> Answer {
        let call = self
            .bucket
            .call(Method::PUT, self.key)
            .query("partNumber", &number.to_string())
            .query("uploadId", &self.id);
        let length = body.len().to_string();
        call.header("x-amz-checksum-crc32c", sum)
            .header("content-length", &length)
            .body(body.clone())
            .send()
            .await
    }

    async fn complete(&self, parts: &[(u32, &str)], headers: &[(&str, &str)]) -> Answer {
        let part = |(number, tag): &(u32, &str)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
        };
        self.complete_list(parts.iter().map(part).collect(), headers)
            .await
    }

    async fn complete_list(&self, listed: String, headers: &[(&str, &str)]) -> Answer {
        let call = self
            .bucket
            .call(Method::POST, self.key)
            .query("uploadId", &self.id);
        let call = headers
            .iter()
            .fold(call, |call, (name, value)| call.header(name, value));
        let body = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
        call.body(body).send().await
    }

    async fn list(&self, query: &[(&str, &str)]) -> Answer {
        let call = self
            .bucket
            .call(Method::GET, self.key)
            .query("uploadId", &self.id);
        query
            .iter()
            .fold(call, |call, (name, value)| call.query(name, value))
            .send()
            .await
    }
}

/// Parts sent in reverse come out in order; until then nothing is there.
pub async fn parts_in_any_order_make_one_object(target: &Target) {
    let bucket = target.scratch().await;
    let sending = Sending::begin(&bucket, "folder/big").await;
    let parts = [bytes(1, PART), bytes(2, PART), bytes(3, 1_000)];
    let mut tags = Vec::new();
    for (number, body) in [(2, &parts[1]), (3, &parts[2]), (1, &parts[0])] {
        tags.push((number, sending.part(number, body).await));
    }
    tags.sort();
    bucket.head("folder/big").await.expect_status(404);
    assert_eq!(bucket.keys().await, [""; 0]);
    let listed: Vec<(u32, &str)> = tags
        .iter()
        .map(|(number, tag)| (*number, tag.as_str()))
        .collect();
    let done = sending
        .complete(&listed, &[("if-none-match", "*")])
        .await
        .checked(200);
    let get = bucket.get("folder/big").await.checked(200);
    assert!(get.body == parts.concat());
    assert_eq!(get.header("content-type"), "image/png");
    assert_eq!(done.tags("ETag"), [get.header("etag")]);
    assert!(
        get.header("etag").ends_with("-3\""),
        "{}",
        get.header("etag")
    );
    sending.list(&[]).await.expect_error(404, "NoSuchUpload");
}

/// The last part is shorter, and may overtake the others; numbers may have gaps.
pub async fn a_short_part_may_come_first(target: &Target) {
    let bucket = target.scratch().await;
    let sending = Sending::begin(&bucket, "big").await;
    let parts = [
        bytes(1, PART + 65_536),
        bytes(2, PART + 65_536),
        bytes(3, 10),
    ];
    let third = sending.part(30, &parts[2]).await;
    let second = sending.part(20, &parts[1]).await;
    let first = sending.part(1, &parts[0]).await;
    sending
        .complete(&[(1, &first), (20, &second), (30, &third)], &[])
        .await
        .expect_status(200);
    assert!(bucket.get("big").await.checked(200).body == parts.concat());
}

/// A part that is sent again replaces the one before, whose tag is worth nothing then.
pub async fn the_last_copy_of_a_part_counts(target: &Target) {
    let bucket = target.scratch().await;
    let sending = Sending::begin(&bucket, "big").await;
    let (old, new, last) = (bytes(1, PART), bytes(2, PART), bytes(3, 7));
    let first = sending.part(1, &old).await;
    let second = sending.part(2, &last).await;
    let again = sending.part(1, &new).await;
    assert_ne!(first, again);
    sending
        .complete(&[(1, &first), (2, &second)], &[])
        .await
        .expect_error(400, "InvalidPart");
    sending
        .complete(&[(1, &again), (2, &second)], &[])
        .await
        .expect_status(200);
    assert!(bucket.get("big").await.checked(200).body == [new, last].concat());
}

/// `If-None-Match: *` holds for completing as well, and the upload survives a refusal.
pub async fn a_taken_name_is_not_taken_again(target: &Target) {
    let bucket = target.scratch().await;
    let sending = Sending::begin(&bucket, "big").await;
    let tag = sending.part(1, &bytes(1, 100)).await;
    bucket.put("big", "here before").await.expect_status(200);
    sending
        .complete(&[(1, &tag)], &[("if-none-match", "*")])
        .await
        .expect_error(412, "PreconditionFailed");
    assert_eq!(bucket.get("big").await.checked(200).body, "here before");
    sending.complete(&[(1, &tag)], &[]).await.expect_status(200);
    assert_eq!(bucket.get("big").await.checked(200).body, bytes(1, 100));
}

/// Wrong tags, a wrong order, parts that are too small, no parts: refused, and the upload goes on.
pub async fn a_wrong_list_of_parts_is_refused(target: &Target) {
    let bucket = target.scratch().await;
    let sending = Sending::begin(&bucket, "big").await;
    let (first, second) = (
        sending.part(1, &bytes(1, PART)).await,
        sending.part(2, &bytes(2, 100)).await,
    );
    let third = sending.part(3, &bytes(3, 100)).await;
    sending
        .complete(&[(1, &second), (2, &second)], &[])
        .await
        .expect_error(400, "InvalidPart");
    sending
        .complete(&[(1, &first), (4, &second)], &[])
        .await
        .expect_error(400, "InvalidPart");
    sending
        .complete(&[(2, &second), (1, &first)], &[])
        .await
        .expect_error(400, "InvalidPartOrder");
    sending
        .complete(&[(1, &first), (2, &second), (3, &third)], &[])
        .await
        .expect_error(400, "EntityTooSmall");
    sending.complete(&[], &[]).await.expect_status(400);
    bucket.head("big").await.expect_status(404);
    sending
        .complete(&[(1, &first), (3, &third)], &[])
        .await
        .expect_status(200);
    assert!(bucket.get("big").await.checked(200).body == [bytes(1, PART), bytes(3, 100)].concat());
}

/// A part whose bytes are not those of its checksum.
pub async fn a_damaged_part_is_refused(target: &Target) {
    let bucket = target.scratch().await;
    let sending = Sending::begin(&bucket, "big").await;
    sending
        .try_part(1, &bytes(1, 1_000_000), &crc32c(b"other"))
        .await
        .expect_status(400);
    assert_eq!(
        sending.list(&[]).await.checked(200).tags("PartNumber"),
        [""; 0]
    );
    let tag = sending.part(1, &bytes(2, 1_000)).await;
    sending.complete(&[(1, &tag)], &[]).await.expect_status(200);
    assert_eq!(bucket.get("big").await.checked(200).body, bytes(2, 1_000));
}

/// A CRC of the whole follows from those of the parts, and is compared with what the client expects.
pub async fn the_checksum_of_the_whole_is_compared(target: &Target) {
    let bucket = target.scratch().await;
    let kind = [
        ("x-amz-checksum-algorithm", "CRC32C"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ];
    let sending = Sending::begin_with(&bucket, "big", &kind).await;
    let parts = [bytes(1, PART), bytes(2, 1_000)];
    let mut listed = String::new();
    for (number, body) in (1..).zip(&parts) {
        let (tag, sum) = (sending.part(number, body).await, crc32c(body));
        listed += &format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag><ChecksumCRC32C>{sum}</ChecksumCRC32C></Part>"
        );
    }
    let expecting = async |sum: &str| {
        let headers = [
            ("x-amz-checksum-crc32c", sum),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ];
        sending.complete_list(listed.clone(), &headers).await
    };
    expecting(&crc32c(b"other")).await.expect_status(400);
    bucket.head("big").await.expect_status(404);
    let sum = crc32c(&parts.concat());
    expecting(&sum).await.expect_status(200);
    let head = bucket
        .call(Method::HEAD, "big")
        .header("x-amz-checksum-mode", "ENABLED")
        .send()
        .await
        .checked(200);
    assert_eq!(head.header("x-amz-checksum-crc32c"), sum);
}

/// After an abort there is no upload, no part and no object.
pub async fn an_aborted_upload_is_gone(target: &Target) {
    let bucket = target.scratch().await;
    let sending = Sending::begin(&bucket, "big").await;
    let tag = sending.part(1, &bytes(1, 100)).await;
    let abort = || {
        bucket
            .call(Method::DELETE, "big")
            .query("uploadId", &sending.id)
            .send()
    };
    abort().await.expect_status(204);
    sending
        .complete(&[(1, &tag)], &[])
        .await
        .expect_error(404, "NoSuchUpload");
    sending
        .try_part(1, &bytes(1, 1), &crc32c(&[1]))
        .await
        .expect_error(404, "NoSuchUpload");
    bucket.head("big").await.expect_status(404);
}

/// Resuming needs to know what has arrived.
pub async fn parts_are_listed_in_pages(target: &Target) {
    let bucket = target.scratch().await;
    let sending = Sending::begin(&bucket, "big").await;
    let mut tags = Vec::new();
    for number in 1..=5 {
        tags.push(sending.part(number, &bytes(1, 100 + number as usize)).await);
    }
    let all = sending.list(&[]).await.checked(200);
    assert_eq!(all.tags("ETag"), tags);
    assert_eq!(all.tags("Size"), ["101", "102", "103", "104", "105"]);
    let page = sending
        .list(&[("max-parts", "2"), ("part-number-marker", "1")])
        .await
        .checked(200);
    assert_eq!(
        (page.tags("PartNumber"), page.tags("IsTruncated")),
        (vec!["2".into(), "3".into()], vec!["true".into()])
    );
    assert_eq!(page.tags("NextPartNumberMarker"), ["3"]);
}

/// A part may come from another object, or a range of it.
pub async fn a_part_may_be_a_copy(target: &Target) {
    let bucket = target.scratch().await;
    bucket
        .put("source", bytes(9, PART + 10))
        .await
        .expect_status(200);
    let sending = Sending::begin(&bucket, "big").await;
    let source = format!("{}/source", bucket.name());
    let call = bucket
        .call(Method::PUT, "big")
        .query("partNumber", "1")
        .query("uploadId", &sending.id)
        .header("x-amz-copy-source", &source);
    let copied = call
        .header("x-amz-copy-source-range", &format!("bytes=0-{}", PART - 1))
        .send()
        .await
        .checked(200);
    let second = sending.part(2, &bytes(1, 3)).await;
    sending
        .complete(&[(1, &copied.tags("ETag")[0]), (2, &second)], &[])
        .await
        .expect_status(200);
    assert!(bucket.get("big").await.checked(200).body == [bytes(9, PART), bytes(1, 3)].concat());
}
