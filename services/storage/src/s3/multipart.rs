//! Multipart uploads: what a large file is sent in.

use std::time::Duration;

use bytes::Bytes;
use granary_core::Result;
use http::StatusCode;
use rusty_s3::actions::{CompleteMultipartUpload, ListParts};

use super::{
    Client, Place, checksum,
    object::{DECLARED, condition, copy_source},
    send::Answer,
    xml,
};

/// A part that the store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u16,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) size: u64,
    /// In base64, if the store says it.
    pub(crate) crc32c: Option<String>,
}

/// What became of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assembled {
    Done,
    /// There is an object already, or another one than was to be written over.
    Taken,
    /// The upload is not there: completed earlier, or aborted.
    Gone,
}

impl Client {
    /// Begins a multipart upload whose parts carry a CRC32C; the answer is its id. The SHA-256 of the whole is kept with the object as it was
    /// declared: of an object made of parts, the store knows none.
    pub(crate) async fn begin_multipart(
        &self,
        place: &Place,
        media_type: &str,
        sha256: Option<&str>,
    ) -> Result<String> {
        let bucket = self.bucket(&place.bucket)?;
        let mut headers = vec![
            ("content-type", media_type.to_owned()),
            ("x-amz-checksum-algorithm", "CRC32C".to_owned()),
        ];
        headers.extend(sha256.map(|sha256| (DECLARED, sha256.to_owned())));
        let action = bucket.create_multipart_upload(Some(self.credentials()), &place.key);
        let answer = self
            .send(&self.call("begin a multipart upload", action, headers))
            .await?;
        if !answer.status.is_success() {
            return Err(answer.refused("begin a multipart upload"));
        }
        let begun: xml::InitiateMultipartUploadResult =
            xml::parse("begin a multipart upload", &answer.body)?;
        Ok(begun.upload_id)
    }

    /// The parts that the store has, in order; `None` if the upload is not there.
    pub(crate) async fn list_parts(
        &self,
        place: &Place,
        upload: &str,
    ) -> Result<Option<Vec<Part>>> {
        let bucket = self.bucket(&place.bucket)?;
        let (mut parts, mut after) = (Vec::new(), 0);
        loop {
            let mut action = ListParts::new(&bucket, Some(self.credentials()), &place.key, upload);
            if after > 0 {
                action.set_part_number_marker(after);
            }
            let answer = self.send(&self.call("list parts", action, vec![])).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if !answer.status.is_success() {
                return Err(answer.refused("list parts"));
            }
            let page: xml::ListPartsResult = xml::parse("list parts", &answer.body)?;
            parts.extend(page.parts.into_iter().map(part));
            match page.next_part_number_marker {
                // A marker that does not go on would go round for ever.
                Some(next) if page.is_truncated && next > after => after = next,
                _ => return Ok(Some(parts)),
            }
        }
    }

    /// Makes an object of its parts, over the one with this ETag or where there is none.
    pub(crate) async fn complete(
        &self,
        place: &Place,
        upload: &str,
        parts: &[Part],
        previous: Option<&str>,
    ) -> Result<Assembled> {
        let bucket = self.bucket(&place.bucket)?;
        let action = CompleteMultipartUpload::new(
            &bucket,
            Some(self.credentials()),
            &place.key,
            upload,
            std::iter::empty::<&str>(),
        );
        let headers = vec![condition(previous)];
        let body = xml::complete(
            parts
                .iter()
                .map(|part| (part.number, part.etag.as_str(), part.crc32c.as_deref())),
        );
        let call = self
            .call("complete a multipart upload", action, headers)
            .body(body)
            .timeout(Duration::from_secs(100));
        let answer = self.send(&call).await?;
        match (answer.status, answer.code().as_deref()) {
            (StatusCode::PRECONDITION_FAILED, _) => Ok(Assembled::Taken),
            (StatusCode::NOT_FOUND, _) => Ok(Assembled::Gone),
            (status, None) if status.is_success() => Ok(Assembled::Done),
            _ => Err(answer.refused("complete a multipart upload")),
        }
    }

    /// Drops a multipart upload and its parts, if it is there.
    pub(crate) async fn abort(&self, place: &Place, upload: &str) -> Result<()> {
        let bucket = self.bucket(&place.bucket)?;
        let action = bucket.abort_multipart_upload(Some(self.credentials()), &place.key, upload);
        let answer = self
            .send(&self.call("abort a multipart upload", action, vec![]))
            .await?;
        if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(answer.refused("abort a multipart upload"))
    }

    /// Sends a part itself.
    pub(crate) async fn put_part(
        &self,
        place: &Place,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<()> {
        let bucket = self.bucket(&place.bucket)?;
        let action = bucket.upload_part(Some(self.credentials()), &place.key, number, upload);
        let answer = self
            .send(
                &self
                    .call("write a part", action, vec![checksum(&body)])
                    .body(body),
            )
            .await?;
        done(&answer, "write a part")
    }

    /// Makes a part of a range of another object; `last` is its last byte.
    pub(crate) async fn copy_part(
        &self,
        from: &Place,
        first: u64,
        last: u64,
        to: &Place,
        upload: &str,
        number: u16,
    ) -> Result<()> {
        let bucket = self.bucket(&to.bucket)?;
        let action = bucket.upload_part(Some(self.credentials()), &to.key, number, upload);
        let headers = vec![
            ("x-amz-copy-source", copy_source(from)),
            ("x-amz-copy-source-range", format!("bytes={first}-{last}")),
        ];
        let answer = self
            .send(
                &self
                    .call("copy a part", action, headers)
                    .timeout(Duration::from_secs(100)),
            )
            .await?;
        done(&answer, "copy a part")
    }
}

fn done(answer: &Answer, what: &str) -> Result<()> {
    if answer.status.is_success() && answer.code().is_none() {
        Ok(())
    } else {
        Err(answer.refused(what))
    }
}

fn part(listed: xml::ListedPart) -> Part {
    Part {
        number: listed.part_number,
        etag: listed.etag.trim_matches('"').to_owned(),
        size: listed.size,
        crc32c: listed.crc32c,
    }
}
