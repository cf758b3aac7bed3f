//! Taking in a part, from the client or from another object.

use std::{ops::Range, sync::Arc};

use s3s::{
    S3ErrorCode, S3Request, S3Result, TrailingHeaders,
    dto::{
        self, CopyPartResult, ETag, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
        UploadPartOutput,
    },
};

use super::{
    log::Part,
    slot::{Slot, part_number},
};
use crate::{
    body::{Batch, Incoming, Sink, pump},
    checksum::{Wanted, set_sums, sums_of},
    disk::{Disk, copy_range, read_range},
    fault::{blocking, fault, io_fault},
    object::Object,
    ops::{
        copy::{Source, source_of},
        put::asked_algorithm,
    },
    store::Store,
    tail::Tail,
};

/// Bytes of a part, as in S3.
const MAX_PART: u64 = 5 << 30;
/// Bytes of one step of a copy whose checksum is computed.
const COPY_STEP: u64 = 1 << 20;

pub(crate) async fn upload(
    store: &Store,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let asked = asked_algorithm(
        &request,
        request
            .input
            .checksum_algorithm
            .as_ref()
            .map(|asked| asked.as_str()),
    )?;
    let trailers = request.trailing_headers.take();
    let input = &mut request.input;
    if input.sse_customer_algorithm.is_some() {
        return Err(crate::ops::not_supported("server-side encryption"));
    }
    let number = part_number(input.part_number)?;
    let place = store.place(&input.bucket, &input.key)?;
    let upload = store.uploads.find(&input.upload_id, &place).await?;
    let wanted = Wanted::new(
        sums_of!(input),
        &[asked, upload.head.algorithm],
        input.content_md5.as_deref(),
    )?;
    let stop = upload.closed.clone();
    let mut body = Incoming::new(
        input.body.take(),
        input.content_length,
        MAX_PART,
        &store.budget,
        stop,
    )?;
    let slot = Slot::claim(upload, number, body.length())?;
    let tail = Tail::new(slot.offset(), wanted.hashes());
    let (sink, last) = pump(&mut body, PartSink { slot, tail }).await?;
    let (disk, size) = (Arc::clone(&store.disk), body.length());
    let part =
        blocking(move || sink.finish(&disk, &last, size, &wanted, trailers.as_ref())).await?;
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag)),
        ..UploadPartOutput::default()
    };
    set_sums!(output, part.sums);
    Ok(output)
}

struct PartSink {
    slot: Slot,
    tail: Tail,
}

impl PartSink {
    fn finish(
        mut self,
        disk: &Disk,
        last: &Batch,
        size: u64,
        wanted: &Wanted,
        trailers: Option<&TrailingHeaders>,
    ) -> S3Result<Part> {
        self.write(last)?;
        let digests = wanted.verify(self.tail.hashes, trailers)?;
        self.slot
            .arrive(disk, size, digests)
            .map_err(io_fault("make the part durable"))
    }
}

impl Sink for PartSink {
    fn write(&mut self, batch: &Batch) -> S3Result<()> {
        let tail = &mut self.tail;
        self.slot
            .with_file(|file| tail.append(file, &batch.frames))
            .map_err(io_fault("write the part"))
    }
}

pub(crate) async fn copy(
    store: &Store,
    mut request: S3Request<UploadPartCopyInput>,
) -> S3Result<UploadPartCopyOutput> {
    let input = &mut request.input;
    let number = part_number(input.part_number)?;
    let place = store.place(&input.bucket, &input.key)?;
    let source: Source = source_of!(store, input);
    let range = input.copy_source_range.take();
    let upload = store.uploads.find(&input.upload_id, &place).await?;
    let work = move |disk: &Disk| {
        let object = source.open()?;
        let range = copied_range(range.as_deref(), object.size())?;
        let wanted = Wanted::computed(upload.head.algorithm);
        let slot = Slot::claim(upload, number, range.end - range.start)?;
        copy_part(disk, &object, range, slot, &wanted)
    };
    let part = store.on_disk(work).await?;
    let arrived =
        time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(part.arrived) * 1_000_000).ok();
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: arrived.map(dto::Timestamp::from),
        ..CopyPartResult::default()
    };
    set_sums!(result, part.sums);
    Ok(UploadPartCopyOutput {
        copy_part_result: Some(result),
        ..UploadPartCopyOutput::default()
    })
}

fn copied_range(asked: Option<&str>, size: u64) -> S3Result<Range<u64>> {
    let Some(text) = asked else {
        return Ok(0..size);
    };
    let range = dto::Range::parse(text)
        .ok()
        .and_then(|range| range.check(size).ok());
    let range = range.ok_or_else(|| {
        fault(
            S3ErrorCode::InvalidRange,
            "the range to copy lies behind the end of the source",
        )
    })?;
    if range.end - range.start > MAX_PART {
        return Err(fault(
            S3ErrorCode::EntityTooLarge,
            "a part has at most 5 GiB",
        ));
    }
    Ok(range)
}

fn copy_part(
    disk: &Disk,
    object: &Object,
    range: Range<u64>,
    mut slot: Slot,
    wanted: &Wanted,
) -> S3Result<Part> {
    let (size, failed) = (range.end - range.start, io_fault("copy the part"));
    let mut tail = Tail::new(slot.offset(), wanted.hashes());
    if wanted.is_empty() {
        let offset = slot.offset();
        slot.with_file(|file| copy_range(&object.file, range.start, file, offset, size))
            .map_err(failed)?;
    } else {
        let mut start = range.start;
        while start < range.end {
            let step = COPY_STEP.min(range.end - start);
            let chunk = read_range(
                &object.file,
                start,
                usize::try_from(step).unwrap_or_default(),
            )
            .map_err(&failed)?;
            slot.with_file(|file| tail.append(file, &[chunk]))
                .map_err(&failed)?;
            start += step;
        }
    }
    let digests = wanted.verify(tail.hashes, None)?;
    slot.arrive(disk, size, digests)
        .map_err(io_fault("make the part durable"))
}
