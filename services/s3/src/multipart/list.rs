//! Listing parts, and uploads.

use std::fs;

use s3s::{
    S3Request, S3Result,
    dto::{
        ChecksumAlgorithm, ChecksumType, CommonPrefix, ETag, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload,
        Part as PartLine, StorageClass, Timestamp,
    },
};

use super::log::{self, Head, Part};
use crate::{
    checksum::{self, set_sums},
    disk::Disk,
    fault::io_fault,
    key::Bucket,
    ops::{Encoding, as_count, as_size, bucket, page_size},
    store::Store,
};

pub(crate) async fn parts(
    store: &Store,
    request: S3Request<ListPartsInput>,
) -> S3Result<ListPartsOutput> {
    let input = request.input;
    let place = store.place(&input.bucket, &input.key)?;
    let limit = page_size(input.max_parts)?;
    let after = input.part_number_marker.unwrap_or(0);
    let upload = store.uploads.find(&input.upload_id, &place).await?;
    let mut parts = upload.parts();
    parts.retain(|part| i32::from(part.number) > after);
    let truncated = parts.len() > limit;
    parts.truncate(limit);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        part_number_marker: Some(after),
        next_part_number_marker: parts.last().map(|part| i32::from(part.number)),
        max_parts: Some(as_count(limit)),
        is_truncated: Some(truncated),
        parts: Some(parts.into_iter().map(part_line).collect()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm: algorithm_of(&upload.head),
        checksum_type: type_of(&upload.head),
        ..ListPartsOutput::default()
    })
}

fn part_line(part: Part) -> PartLine {
    let mut line = PartLine {
        part_number: Some(part.number.into()),
        size: Some(as_size(part.size)),
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: timestamp(part.arrived),
        ..PartLine::default()
    };
    set_sums!(line, part.sums);
    line
}

fn timestamp(milliseconds: i64) -> Option<Timestamp> {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .ok()
        .map(Timestamp::from)
}

fn algorithm_of(head: &Head) -> Option<ChecksumAlgorithm> {
    head.algorithm
        .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name()))
}

fn type_of(head: &Head) -> Option<ChecksumType> {
    head.algorithm.map(|_| checksum::type_of(head.composite))
}

/// What to list of the uploads.
struct Question {
    bucket: Bucket,
    prefix: String,
    delimiter: String,
    after: (String, Option<String>),
    limit: usize,
}

/// A line of the answer: an upload, or what several keys have in common.
struct Line {
    /// Where it stands in the order.
    place: (String, String),
    upload: Option<Head>,
}

pub(crate) async fn uploads(
    store: &Store,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<ListMultipartUploadsOutput> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let question = Question {
        bucket: Bucket::parse(&input.bucket)?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: (
            key_marker,
            input.upload_id_marker.clone().filter(|id| !id.is_empty()),
        ),
        limit: page_size(input.max_uploads)?,
    };
    let limit = question.limit;
    let mut lines = store.on_disk(move |disk| question.lines(disk)).await?;
    let truncated = lines.len() > limit;
    lines.truncate(limit);
    let last = lines
        .last()
        .filter(|_| truncated)
        .map(|line| line.place.clone());
    let (uploads, prefixes): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.upload.is_some());
    let common = |line: Line| CommonPrefix {
        prefix: Some(encoding.write(line.place.0)),
    };
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix.map(|text| encoding.write(text)),
        delimiter: input.delimiter.map(|text| encoding.write(text)),
        key_marker: Some(encoding.write(input.key_marker.unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        encoding_type: input.encoding_type,
        max_uploads: Some(as_count(limit)),
        is_truncated: Some(truncated),
        next_key_marker: last.as_ref().map(|(key, _)| encoding.write(key.as_str())),
        next_upload_id_marker: last.map(|(_, id)| id),
        common_prefixes: Some(prefixes.into_iter().map(common).collect()),
        uploads: Some(
            uploads
                .into_iter()
                .filter_map(|line| upload_line(line, encoding))
                .collect(),
        ),
        ..ListMultipartUploadsOutput::default()
    })
}

fn upload_line(line: Line, encoding: Encoding) -> Option<MultipartUpload> {
    let head = line.upload?;
    Some(MultipartUpload {
        key: Some(encoding.write(line.place.0)),
        upload_id: Some(line.place.1),
        initiated: timestamp(head.began),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm: algorithm_of(&head),
        checksum_type: type_of(&head),
        ..MultipartUpload::default()
    })
}

impl Question {
    /// All lines after the marker, in order.
    fn lines(&self, disk: &Disk) -> S3Result<Vec<Line>> {
        bucket::exists(disk, &self.bucket)?;
        let failed = io_fault("list the multipart uploads");
        let mut lines = Vec::new();
        for entry in fs::read_dir(disk.upload_folder()).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Ok(Some(head)) = log::read_head(&entry.path()) else {
                // It ended since the folder was read.
                continue;
            };
            let id = entry.file_name().to_string_lossy().into_owned();
            lines.extend(self.line(id, head));
        }
        lines.sort_unstable_by(|one, other| one.place.cmp(&other.place));
        lines.dedup_by(|one, other| one.place == other.place);
        Ok(lines)
    }

    fn line(&self, id: String, head: Head) -> Option<Line> {
        let rest = head
            .key
            .strip_prefix(&self.prefix)
            .filter(|_| head.bucket == self.bucket.as_str())?;
        let common = rest
            .split_once(&*self.delimiter)
            .filter(|_| !self.delimiter.is_empty());
        let line = match common {
            Some((start, _)) => Line {
                place: (
                    format!("{}{start}{}", self.prefix, self.delimiter),
                    String::new(),
                ),
                upload: None,
            },
            None => Line {
                place: (head.key.clone(), id),
                upload: Some(head),
            },
        };
        let (key, after_id) = &self.after;
        let after = line.place.0 > *key
            || after_id
                .as_ref()
                .is_some_and(|id| line.place.0 == *key && line.place.1 > *id);
        after.then_some(line)
    }
}
