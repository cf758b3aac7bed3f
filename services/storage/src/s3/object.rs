//! Requests on whole objects and buckets.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use granary_core::{Result, id};
use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Client, Place, checksum};

/// What a HEAD says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) size: u64,
    /// In hexadecimal; only if the store keeps the checksum of the whole.
    pub(crate) sha256: Option<String>,
    /// As the store says it: of an object made of parts, that of their checksums and their number.
    pub(crate) crc32c: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) media_type: Option<String>,
    /// The SHA-256 that an object made of parts was declared with, in hexadecimal.
    pub(crate) declared: Option<String>,
}

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    Done,
    /// There is an object at the target.
    Taken,
    /// There is none at the source.
    NoSource,
}

/// Where the SHA-256 stands that an object made of parts was declared with.
pub(super) const DECLARED: &str = "x-amz-meta-sha256";
/// All but what `x-amz-copy-source` may hold as it is.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

impl Client {
    /// Makes a bucket unless it is there.
    pub(crate) async fn ensure_bucket(&self, name: &str) -> Result<()> {
        let bucket = self.bucket(name)?;
        let call = self.call(
            "look for a bucket",
            bucket.head_bucket(Some(self.credentials())),
            vec![],
        );
        if self.send(&call).await?.status.is_success() {
            return Ok(());
        }
        let action = bucket.create_bucket(self.credentials());
        let body = action.body();
        let answer = self
            .send(&self.call("make a bucket", action, vec![]).body(body))
            .await?;
        // Two servers that start at once both find it missing.
        if answer.status.is_success() || answer.code().as_deref() == Some("BucketAlreadyOwnedByYou")
        {
            return Ok(());
        }
        Err(answer.refused("make a bucket"))
    }

    /// What is known about an object, if it is there.
    pub(crate) async fn head(&self, place: &Place) -> Result<Option<Head>> {
        let bucket = self.bucket(&place.bucket)?;
        let headers = vec![("x-amz-checksum-mode", "ENABLED".to_owned())];
        let call = self.call(
            "look for an object",
            bucket.head_object(Some(self.credentials()), &place.key),
            headers,
        );
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(Head {
                size: answer
                    .header("content-length")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or_default(),
                sha256: answer
                    .header("x-amz-checksum-sha256")
                    .and_then(whole_sha256),
                crc32c: answer.header("x-amz-checksum-crc32c").map(str::to_owned),
                etag: answer.header("etag").map(str::to_owned),
                media_type: answer.header("content-type").map(str::to_owned),
                declared: answer
                    .header(DECLARED)
                    .filter(|text| id::is_sha256(text))
                    .map(str::to_owned),
            })),
            _ => Err(answer.refused("look for an object")),
        }
    }

    /// Reads a small object, at most 16 MiB of it, if it is there.
    pub(crate) async fn read(&self, place: &Place) -> Result<Option<Bytes>> {
        let bucket = self.bucket(&place.bucket)?;
        let call = self.call(
            "read an object",
            bucket.get_object(Some(self.credentials()), &place.key),
            vec![],
        );
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer.body)),
            _ => Err(answer.refused("read an object")),
        }
    }

    /// Writes an object over the one with this ETag, or where there is none. False if there is another one by now, where the store looks.
    pub(crate) async fn put(
        &self,
        place: &Place,
        body: Bytes,
        media_type: &str,
        previous: Option<&str>,
    ) -> Result<bool> {
        let bucket = self.bucket(&place.bucket)?;
        let headers = vec![
            ("content-type", media_type.to_owned()),
            condition(previous),
            checksum(&body),
        ];
        let call = self.call(
            "write an object",
            bucket.put_object(Some(self.credentials()), &place.key),
            headers,
        );
        let answer = self.send(&call.body(body)).await?;
        match (answer.status, answer.code().as_deref()) {
            (StatusCode::PRECONDITION_FAILED, _) => Ok(false),
            // The one that was to be written over is gone.
            (StatusCode::NOT_FOUND, Some("NoSuchKey")) => Ok(false),
            (status, _) if status.is_success() => Ok(true),
            _ => Err(answer.refused("write an object")),
        }
    }

    /// Deletes an object if it still is the one with this ETag, where the store compares them.
    pub(crate) async fn delete(&self, place: &Place, etag: Option<&str>) -> Result<()> {
        let bucket = self.bucket(&place.bucket)?;
        let headers = etag
            .map(|etag| ("if-match", etag.to_owned()))
            .into_iter()
            .collect();
        let call = self.call(
            "delete an object",
            bucket.delete_object(Some(self.credentials()), &place.key),
            headers,
        );
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(answer.refused("delete an object")),
        }
    }

    /// Copies an object of at most 5 GiB, unless something is at the target, where the store looks.
    pub(crate) async fn copy(&self, from: &Place, to: &Place) -> Result<Copied> {
        let bucket = self.bucket(&to.bucket)?;
        let headers = vec![condition(None), ("x-amz-copy-source", copy_source(from))];
        let call = self.call(
            "copy an object",
            bucket.put_object(Some(self.credentials()), &to.key),
            headers,
        );
        let answer = self.send(&call.timeout(Duration::from_secs(100))).await?;
        match (answer.status, answer.code().as_deref()) {
            (StatusCode::PRECONDITION_FAILED, _) => Ok(Copied::Taken),
            (StatusCode::NOT_FOUND, Some("NoSuchKey")) => Ok(Copied::NoSource),
            (status, None) if status.is_success() => Ok(Copied::Done),
            _ => Err(answer.refused("copy an object")),
        }
    }
}

/// The condition of a write over the object with an ETag, or where there is none.
pub(super) fn condition(previous: Option<&str>) -> (&'static str, String) {
    match previous {
        Some(etag) => ("if-match", etag.to_owned()),
        None => ("if-none-match", "*".to_owned()),
    }
}

/// The value of `x-amz-copy-source`.
pub(super) fn copy_source(from: &Place) -> String {
    format!(
        "/{}/{}",
        from.bucket,
        utf8_percent_encode(&from.key, COPY_SOURCE)
    )
}

/// The SHA-256 of a whole object; that of multipart objects, of their parts' checksums, is of no use.
fn whole_sha256(header: &str) -> Option<String> {
    STANDARD
        .decode(header)
        .ok()
        .filter(|sum| sum.len() == 32)
        .map(hex::encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_checksum_of_a_whole_object_counts() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(
            whole_sha256(empty).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(whole_sha256(&format!("{empty}-2")), None);
        assert_eq!(whole_sha256("AAAA"), None);
    }

    #[test]
    fn odd_keys_survive_in_a_header() {
        let from = Place {
            bucket: "b".into(),
            key: "p/d/s/a b+é%.txt".into(),
        };
        assert_eq!(copy_source(&from), "/b/p/d/s/a%20b%2B%C3%A9%25.txt");
    }
}
