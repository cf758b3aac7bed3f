//! Copying an object within the store, without its bytes leaving it.

use s3s::{
    S3ErrorCode, S3Request, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, ETagCondition,
        MetadataDirective,
    },
    header::IF_NONE_MATCH,
};

use super::{attr_of, check_version, refuse_unsupported};
use crate::{
    attr::Attr,
    checksum::{set_sums, type_of},
    disk::{Disk, TempFile, WriteIf, copy_range},
    fault::{fault, io_fault},
    key::Place,
    object::{Object, ReadIf, modified},
    store::Store,
};

/// Where the bytes of a copy come from.
pub(crate) struct Source {
    pub(crate) place: Place,
    pub(crate) when: ReadIf,
}

/// Takes the source out of either kind of copy request.
macro_rules! source_of {
    ($store:expr, $input:expr) => {
        $crate::ops::copy::Source {
            place: $crate::ops::copy::source_place($store, &$input.copy_source)?,
            when: $crate::object::ReadIf {
                matches: $input.copy_source_if_match.take(),
                none_match: $input.copy_source_if_none_match.take(),
                modified_since: $input.copy_source_if_modified_since.take(),
                unmodified_since: $input.copy_source_if_unmodified_since.take(),
            },
        }
    };
}

pub(crate) use source_of;

pub(crate) fn source_place(store: &Store, source: &CopySource) -> S3Result<Place> {
    let CopySource::Bucket {
        bucket,
        key,
        version_id,
    } = source
    else {
        return Err(super::not_supported("access points"));
    };
    check_version(version_id.as_deref())?;
    super::get::existing_place(store, bucket, key)
}

impl Source {
    /// Opens the source, if it fulfils the conditions of the request.
    pub(crate) fn open(&self) -> S3Result<Object> {
        let object = Object::open(&self.place)?;
        // A copy has no cache to be told that nothing changed.
        self.when
            .check(&object)
            .map_err(|error| match error.code() {
                S3ErrorCode::NotModified => crate::fault::precondition_failed(),
                _ => error,
            })?;
        Ok(object)
    }
}

pub(crate) async fn copy(
    store: &Store,
    mut request: S3Request<CopyObjectInput>,
) -> S3Result<CopyObjectOutput> {
    // s3s has no field for the condition on the target of a copy.
    let if_none_match = request
        .headers
        .get(IF_NONE_MATCH)
        .map(|value| ETagCondition::parse_http_header(value.as_bytes()));
    let if_none_match = if_none_match.transpose().map_err(|_| {
        fault(
            S3ErrorCode::InvalidArgument,
            "If-None-Match can only be `*`",
        )
    })?;
    let input = &mut request.input;
    refuse_unsupported!(input);
    let source = source_of!(store, input);
    let place = store.place(&input.bucket, &input.key)?;
    let when = WriteIf::new(None, if_none_match)?;
    let replaced = match input
        .metadata_directive
        .as_ref()
        .map_or(MetadataDirective::COPY, MetadataDirective::as_str)
    {
        MetadataDirective::COPY if place.path == source.place.path => {
            return Err(fault(
                S3ErrorCode::InvalidRequest,
                "a copy onto itself has to replace the metadata",
            ));
        }
        MetadataDirective::COPY => None,
        MetadataDirective::REPLACE => Some(attr_of!(input)),
        _ => {
            return Err(fault(
                S3ErrorCode::InvalidArgument,
                "x-amz-metadata-directive is COPY or REPLACE",
            ));
        }
    };
    let result = store
        .on_disk(move |disk| copy_on_disk(disk, &source, &place, &when, replaced))
        .await?;
    Ok(CopyObjectOutput {
        copy_object_result: Some(result),
        ..CopyObjectOutput::default()
    })
}

fn copy_on_disk(
    disk: &Disk,
    source: &Source,
    place: &Place,
    when: &WriteIf,
    replaced: Option<Attr>,
) -> S3Result<CopyObjectResult> {
    when.check(place)?;
    let object = source.open()?;
    let etag = object.etag();
    let temp = TempFile::create(disk).map_err(io_fault("write the copy"))?;
    copy_range(&object.file, 0, temp.file(), 0, object.size())
        .map_err(io_fault("write the copy"))?;
    // The bytes are the same, and so is all that follows from them.
    let attr = Attr {
        etag: Some(etag),
        sums: object.attr.sums.clone(),
        composite: object.attr.composite,
        ..replaced.unwrap_or(object.attr)
    };
    let metadata = temp.file().metadata().map_err(io_fault("read the copy"))?;
    super::put::commit(disk, temp, &attr, place, when)?;
    let mut result = CopyObjectResult {
        checksum_type: (!attr.sums.is_empty()).then(|| type_of(attr.composite)),
        e_tag: attr.etag.clone().map(ETag::Strong),
        last_modified: Some(modified(&metadata)),
        ..CopyObjectResult::default()
    };
    set_sums!(result, attr.sums);
    Ok(result)
}
