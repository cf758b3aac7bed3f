//! Storing an object in one request.

use std::sync::Arc;

use s3s::{
    S3ErrorCode, S3Request, S3Result, TrailingHeaders,
    dto::{ETag, PutObjectInput, PutObjectOutput},
};
use tokio_util::sync::CancellationToken;

use super::{attr_of, refuse_unsupported};
use crate::{
    attr::Attr,
    body::{Batch, Incoming, Sink, pump},
    checksum::{Algorithm, Digests, Wanted, set_sums, sums_of, type_of},
    disk::{Disk, TempFile, WriteIf, random_name},
    fault::{blocking, fault, io_fault, no_such_bucket},
    key::Place,
    store::Store,
    tail::Tail,
};

/// Bytes of one PutObject, as in S3.
const MAX_PUT: u64 = 5 << 30;

/// What the client names as the algorithm of a checksum that it sends behind the body, or wants to be computed.
pub(crate) fn asked_algorithm<T>(
    request: &S3Request<T>,
    parsed: Option<&str>,
) -> S3Result<Option<Algorithm>> {
    let header = request
        .headers
        .get("x-amz-sdk-checksum-algorithm")
        .and_then(|value| value.to_str().ok());
    parsed.or(header).map(Algorithm::parse).transpose()
}

pub(crate) async fn put(
    store: &Store,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    let draft = draft_of(store, &mut request)?;
    let input = &mut request.input;
    let mut body = Incoming::new(
        input.body.take(),
        input.content_length,
        MAX_PUT,
        &store.budget,
        CancellationToken::new(),
    )?;
    // Spares the client the bytes of a write that is refused in any case. The condition is checked again when it counts.
    let early = (draft.place.clone(), draft.when.clone());
    store
        .on_disk(move |_| check_early(&early.0, &early.1))
        .await?;
    let sink = PutSink {
        disk: Arc::clone(&store.disk),
        temp: None,
        tail: Tail::new(0, draft.wanted.hashes()),
    };
    let (sink, last) = pump(&mut body, sink).await?;
    let attr = blocking(move || sink.finish(&last, draft)).await?;
    let mut output = PutObjectOutput {
        e_tag: attr.etag.clone().map(ETag::Strong),
        checksum_type: (!attr.sums.is_empty()).then(|| type_of(false)),
        ..PutObjectOutput::default()
    };
    set_sums!(output, attr.sums);
    Ok(output)
}

/// What the request says about the object.
fn draft_of(store: &Store, request: &mut S3Request<PutObjectInput>) -> S3Result<Draft> {
    let parsed = request.input.checksum_algorithm.as_ref();
    let asked = asked_algorithm(request, parsed.map(|asked| asked.as_str()))?;
    let trailers = request.trailing_headers.take();
    let input = &mut request.input;
    refuse_unsupported!(input);
    if input.write_offset_bytes.is_some() {
        return Err(super::not_supported("appending to objects"));
    }
    Ok(Draft {
        place: store.place(&input.bucket, &input.key)?,
        when: WriteIf::new(input.if_match.take(), input.if_none_match.take())?,
        attr: attr_of!(input),
        wanted: Wanted::new(sums_of!(input), &[asked], input.content_md5.as_deref())?,
        trailers,
    })
}

fn check_early(place: &Place, when: &WriteIf) -> S3Result<()> {
    if place.bucket.is_dir() {
        when.check(place)
    } else {
        Err(no_such_bucket())
    }
}

struct PutSink {
    disk: Arc<Disk>,
    temp: Option<TempFile>,
    tail: Tail,
}

/// What an object will be, once its bytes are there.
struct Draft {
    place: Place,
    when: WriteIf,
    attr: Attr,
    wanted: Wanted,
    trailers: Option<TrailingHeaders>,
}

impl PutSink {
    fn append(&mut self, batch: &Batch) -> std::io::Result<()> {
        let temp = match self.temp.take() {
            Some(temp) => temp,
            None => TempFile::create(&self.disk)?,
        };
        let result = self.tail.append(temp.file(), &batch.frames);
        self.temp = Some(temp);
        result
    }

    fn finish(mut self, last: &Batch, draft: Draft) -> S3Result<Attr> {
        let Draft {
            place,
            when,
            mut attr,
            wanted,
            trailers,
        } = draft;
        self.append(last).map_err(io_fault("write the object"))?;
        let digests = wanted.verify(self.tail.hashes, trailers.as_ref())?;
        let temp = self
            .temp
            .ok_or_else(|| fault(S3ErrorCode::InternalError, "the store lost the bytes"))?;
        let etag = describe(&mut attr, digests);
        commit(&self.disk, temp, &attr, &place, &when)?;
        attr.etag = Some(etag);
        Ok(attr)
    }
}

/// Adds to the attributes what the bytes say about themselves. The entity tag is only stored if it does not follow from the rest.
pub(crate) fn describe(attr: &mut Attr, digests: Digests) -> String {
    attr.sums = digests.sums;
    if let (None, Some(etag)) = (&digests.md5, attr.derived_etag()) {
        return etag;
    }
    let etag = digests
        .md5
        .unwrap_or_else(|| format!("{}-1", random_name().split_off(16)));
    attr.etag = Some(etag.clone());
    etag
}

/// Makes the bytes and attributes of a temporary file durable, then gives it its name.
pub(crate) fn commit(
    disk: &Disk,
    temp: TempFile,
    attr: &Attr,
    place: &Place,
    when: &WriteIf,
) -> S3Result<()> {
    attr.store(temp.file())
        .map_err(io_fault("keep the attributes of the object"))?;
    temp.file()
        .sync_all()
        .map_err(io_fault("make the object durable"))?;
    disk.publish(temp.path(), place, when)?;
    temp.keep();
    Ok(())
}

impl Sink for PutSink {
    fn write(&mut self, batch: &Batch) -> S3Result<()> {
        self.append(batch).map_err(io_fault("write the object"))
    }
}
