//! Reading an object, or only what is known about it.

use std::{fs::File, ops::Range};

use bytes::Bytes;
use s3s::{
    S3ErrorCode, S3Request, S3Result,
    dto::{
        ChecksumMode, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
        Range as AskedRange, StreamingBlob, Timestamp,
    },
};

use super::{
    DEFAULT_TYPE, as_size, check_version,
    stream::{CHUNK, FileStream, blob_of},
};
use crate::{
    disk::read_range,
    fault::{fault, io_fault, no_such_key},
    key::{Key, KeyFault, Place},
    object::{Object, ReadIf},
    store::Store,
};

/// What a GET and a HEAD ask alike.
struct Question {
    place: Place,
    range: Option<AskedRange>,
    when: ReadIf,
    with_sums: bool,
}

/// Takes the question out of either kind of request.
macro_rules! question {
    ($store:expr, $input:expr) => {{
        check_version($input.version_id.as_deref())?;
        if $input.part_number.is_some_and(|part| part != 1) {
            return Err(super::not_supported("reading of single parts"));
        }
        Question {
            place: existing_place($store, &$input.bucket, &$input.key)?,
            range: $input.range,
            when: ReadIf {
                matches: $input.if_match,
                none_match: $input.if_none_match,
                modified_since: $input.if_modified_since,
                unmodified_since: $input.if_unmodified_since,
            },
            with_sums: $input
                .checksum_mode
                .is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED),
        }
    }};
}

/// The place of an object that should be there: nothing can lie under a key that ends in a slash, which clients do ask for.
pub(crate) fn existing_place(store: &Store, bucket: &str, key: &str) -> S3Result<Place> {
    match Key::parse(key) {
        Err(KeyFault::TrailingSlash) => Err(no_such_key()),
        _ => store.place(bucket, key),
    }
}

/// What both answers say alike.
macro_rules! answer {
    ($output:ident, $found:expr) => {{
        let found = $found;
        let attr = found.object.attr;
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(as_size(found.range.end - found.range.start)),
            content_range: found.content_range,
            e_tag: Some(ETag::Strong(found.etag)),
            last_modified: Some(found.modified),
            content_type: Some(
                attr.headers
                    .content_type
                    .unwrap_or_else(|| DEFAULT_TYPE.to_owned()),
            ),
            cache_control: attr.headers.cache_control,
            content_disposition: attr.headers.content_disposition,
            content_encoding: attr.headers.content_encoding,
            content_language: attr.headers.content_language,
            expires: attr.headers.expires.and_then(timestamp),
            metadata: Some(attr.user.into_iter().collect())
                .filter(|user: &s3s::dto::Metadata| !user.is_empty()),
            ..$output::default()
        };
        if found.with_sums && !attr.sums.is_empty() {
            output.checksum_type = Some(crate::checksum::type_of(attr.composite));
            crate::checksum::set_sums!(output, attr.sums);
        }
        output
    }};
}

fn timestamp(seconds: i64) -> Option<Timestamp> {
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .map(Timestamp::from)
}

struct Found {
    object: FoundObject,
    etag: String,
    modified: Timestamp,
    range: Range<u64>,
    content_range: Option<String>,
    with_sums: bool,
}

struct FoundObject {
    file: File,
    attr: crate::attr::Attr,
}

impl Question {
    fn find(self) -> S3Result<Found> {
        let object = Object::open(&self.place)?;
        self.when.check(&object)?;
        let size = object.size();
        let (range, content_range) = match self.range {
            None => (0..size, None),
            Some(asked) => {
                let range = asked.check(size).map_err(|_| {
                    fault(
                        S3ErrorCode::InvalidRange,
                        "the range lies behind the end of the object",
                    )
                })?;
                let text = format!(
                    "bytes {}-{}/{size}",
                    range.start,
                    range.end.saturating_sub(1)
                );
                (range, Some(text))
            }
        };
        Ok(Found {
            etag: object.etag(),
            modified: object.modified(),
            // The checksums are those of the whole.
            with_sums: self.with_sums && content_range.is_none(),
            range,
            content_range,
            object: FoundObject {
                file: object.file,
                attr: object.attr,
            },
        })
    }
}

pub(crate) async fn head(
    store: &Store,
    request: S3Request<HeadObjectInput>,
) -> S3Result<HeadObjectOutput> {
    let input = request.input;
    let question = question!(store, input);
    let found = store.on_disk(move |_| question.find()).await?;
    Ok(answer!(HeadObjectOutput, found))
}

pub(crate) async fn get(
    store: &Store,
    request: S3Request<GetObjectInput>,
) -> S3Result<GetObjectOutput> {
    let input = request.input;
    let question = question!(store, input);
    let (mut found, small) = store.on_disk(move |_| find_and_read(question)).await?;
    let body = match small {
        Some(bytes) => blob_of(bytes),
        None => large(&mut found)?,
    };
    let mut output = answer!(GetObjectOutput, found);
    output.body = Some(body);
    Ok(output)
}

/// A small object is read at once, in the same trip to the disk's threads.
fn find_and_read(question: Question) -> S3Result<(Found, Option<Bytes>)> {
    let found = question.find()?;
    let length = found.range.end - found.range.start;
    if length > CHUNK {
        return Ok((found, None));
    }
    let length = usize::try_from(length).unwrap_or_default();
    let bytes = read_range(&found.object.file, found.range.start, length)
        .map_err(io_fault("read the object"))?;
    Ok((found, Some(bytes)))
}

fn large(found: &mut Found) -> S3Result<StreamingBlob> {
    let file = found
        .object
        .file
        .try_clone()
        .map_err(io_fault("read the object"))?;
    Ok(FileStream::blob(
        file,
        found.range.start,
        found.range.end - found.range.start,
    ))
}
