//! Beginning an upload.

use std::fs::{self, File};

use s3s::{
    S3ErrorCode, S3Request, S3Result,
    dto::{
        ChecksumAlgorithm, ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    },
};

use super::{
    log::{Head, Log},
    upload::{DATA, now},
};
use crate::{
    checksum::{Algorithm, type_of},
    disk::{Disk, random_name},
    fault::{fault, io_fault, no_such_bucket},
    ops::{attr_of, refuse_unsupported},
    store::Store,
};

pub(crate) async fn create(
    store: &Store,
    mut request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let input = &mut request.input;
    refuse_unsupported!(input);
    let place = store.place(&input.bucket, &input.key)?;
    let algorithm = input
        .checksum_algorithm
        .as_ref()
        .map(|name| Algorithm::parse(name.as_str()))
        .transpose()?;
    let composite = is_composite(
        algorithm,
        input.checksum_type.as_ref().map(ChecksumType::as_str),
    )?;
    let attr = attr_of!(input);
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let head = Head {
        bucket,
        key,
        attr,
        algorithm,
        composite,
        began: now(),
    };
    let id = store
        .on_disk(move |disk| {
            if place.bucket.is_dir() {
                begin(disk, &head)
            } else {
                Err(no_such_bucket())
            }
        })
        .await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(request.input.bucket),
        key: Some(request.input.key),
        upload_id: Some(id),
        checksum_algorithm: algorithm
            .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: algorithm.map(|_| type_of(composite)),
        ..CreateMultipartUploadOutput::default()
    })
}

/// Which kind of checksum the object gets, with the defaults of S3.
fn is_composite(algorithm: Option<Algorithm>, asked: Option<&str>) -> S3Result<bool> {
    let has_crc = algorithm.is_some_and(|algorithm| algorithm.crc().is_some());
    match (algorithm, asked) {
        (None, None) => Ok(false),
        (Some(algorithm), None) => Ok(algorithm != Algorithm::Crc64Nvme),
        (Some(Algorithm::Crc64Nvme), Some(ChecksumType::COMPOSITE)) => Err(fault(
            S3ErrorCode::InvalidRequest,
            "CRC64NVME exists only as a checksum of the whole object",
        )),
        (Some(_), Some(ChecksumType::COMPOSITE)) => Ok(true),
        (Some(_), Some(ChecksumType::FULL_OBJECT)) if has_crc => Ok(false),
        _ => Err(fault(
            S3ErrorCode::InvalidRequest,
            "a checksum of the whole object needs one of the CRC algorithms",
        )),
    }
}

/// Makes the folder of an upload whole before it has its name.
fn begin(disk: &Disk, head: &Head) -> S3Result<String> {
    let id = random_name();
    let (draft, folder) = (disk.temp_path(), disk.upload_folder());
    let made = fs::create_dir(&draft)
        .and_then(|()| Log::create(&draft, head))
        .and_then(|()| File::create_new(draft.join(DATA))?.sync_all())
        .and_then(|()| disk.sync_folder(&draft))
        .and_then(|()| fs::rename(&draft, folder.join(&id)))
        .and_then(|()| disk.sync_folder(&folder));
    if let Err(error) = made {
        let _ = fs::remove_dir_all(&draft);
        return Err(io_fault("begin the multipart upload")(error));
    }
    Ok(id)
}
