//! Listing the keys of a bucket, a page at a time.

use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use s3s::{
    S3ErrorCode, S3Request, S3Result,
    dto::{
        ChecksumAlgorithm, CommonPrefix, ETag, ListObjectsInput, ListObjectsOutput,
        ListObjectsV2Input, ListObjectsV2Output, Object as Line, ObjectStorageClass,
    },
};

use super::{Encoding, as_count, as_size, bucket, page_size};
use crate::{
    attr::Attr,
    checksum::type_of,
    disk::Disk,
    fault::{fault, io_fault},
    key::{Bucket, Key, Place},
    object::modified,
    store::Store,
    walk::{Item, Query, list},
};

/// What both versions of the request ask for.
struct Question {
    bucket: Bucket,
    prefix: String,
    after: String,
    delimiter: String,
    limit: usize,
    encoding: Encoding,
}

/// What both versions of the answer say.
struct Answer {
    lines: Vec<Line>,
    common: Vec<CommonPrefix>,
    truncated: bool,
    last: Option<String>,
}

pub(crate) async fn v2(
    store: &Store,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<ListObjectsV2Output> {
    let input = request.input;
    let after = match input
        .continuation_token
        .as_deref()
        .filter(|token| !token.is_empty())
    {
        Some(token) => read_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let question = Question {
        bucket: Bucket::parse(&input.bucket)?,
        prefix: input.prefix.clone().unwrap_or_default(),
        after,
        delimiter: input.delimiter.clone().unwrap_or_default(),
        limit: page_size(input.max_keys)?,
        encoding,
    };
    let max_keys = as_count(question.limit);
    let answer = store.on_disk(move |disk| question.answer(disk)).await?;
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.write(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoding.write(text)),
        start_after: input.start_after.map(|text| encoding.write(text)),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        max_keys: Some(max_keys),
        key_count: Some(as_count(answer.lines.len() + answer.common.len())),
        is_truncated: Some(answer.truncated),
        next_continuation_token: answer
            .last
            .filter(|_| answer.truncated)
            .map(|last| URL_SAFE_NO_PAD.encode(last)),
        contents: Some(answer.lines),
        common_prefixes: Some(answer.common),
        request_charged: None,
    })
}

pub(crate) async fn v1(
    store: &Store,
    request: S3Request<ListObjectsInput>,
) -> S3Result<ListObjectsOutput> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let question = Question {
        bucket: Bucket::parse(&input.bucket)?,
        prefix: input.prefix.clone().unwrap_or_default(),
        after: input.marker.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        limit: page_size(input.max_keys)?,
        encoding,
    };
    let max_keys = as_count(question.limit);
    let answer = store.on_disk(move |disk| question.answer(disk)).await?;
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.write(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoding.write(text)),
        marker: Some(encoding.write(input.marker.unwrap_or_default())),
        encoding_type: input.encoding_type,
        max_keys: Some(max_keys),
        is_truncated: Some(answer.truncated),
        next_marker: answer
            .last
            .filter(|_| answer.truncated)
            .map(|last| encoding.write(last)),
        contents: Some(answer.lines),
        common_prefixes: Some(answer.common),
        request_charged: None,
    })
}

fn read_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let last = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    last.ok_or_else(|| {
        fault(
            S3ErrorCode::InvalidArgument,
            "the continuation token is not one that a listing gave",
        )
    })
}

impl Question {
    fn answer(&self, disk: &Disk) -> S3Result<Answer> {
        bucket::exists(disk, &self.bucket)?;
        let query = Query {
            prefix: &self.prefix,
            after: &self.after,
            delimiter: &self.delimiter,
            limit: self.limit,
        };
        let page =
            list(&disk.bucket_folder(&self.bucket), &query).map_err(io_fault("list the bucket"))?;
        let last = page.items.last().map(|item| item.name().to_owned());
        let (mut lines, mut common) = (Vec::new(), Vec::new());
        for item in page.items {
            match item {
                Item::Key(key) => lines.extend(self.line(disk, key)?),
                Item::CommonPrefix(prefix) => common.push(CommonPrefix {
                    prefix: Some(self.encoding.write(prefix)),
                }),
            }
        }
        Ok(Answer {
            lines,
            common,
            truncated: page.truncated,
            last,
        })
    }

    /// `None` if the object was deleted since the folder was read.
    fn line(&self, disk: &Disk, key: String) -> S3Result<Option<Line>> {
        // A name that came here by hand may be no key.
        let Ok(parsed) = Key::parse(&key) else {
            return Ok(None);
        };
        let path = Place::new(disk.root(), &self.bucket, &parsed).path;
        let (Ok(metadata), Ok(attr)) = (fs::symlink_metadata(&path), Attr::at(&path)) else {
            return Ok(None);
        };
        let algorithms: Vec<_> = attr
            .sums
            .algorithms()
            .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name()))
            .collect();
        Ok(Some(Line {
            key: Some(self.encoding.write(key)),
            size: Some(as_size(metadata.len())),
            e_tag: Some(ETag::Strong(attr.etag(&metadata))),
            last_modified: Some(modified(&metadata)),
            storage_class: Some(ObjectStorageClass::from_static(
                ObjectStorageClass::STANDARD,
            )),
            checksum_type: (!algorithms.is_empty()).then(|| type_of(attr.composite)),
            checksum_algorithm: Some(algorithms).filter(|list| !list.is_empty()),
            ..Line::default()
        }))
    }
}
