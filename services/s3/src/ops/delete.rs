//! Removing objects. What is not there counts as removed.

use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Result,
    dto::{
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
        DeletedObject, ETag, ETagCondition, Error as DeleteFault, ObjectIdentifier,
    },
};

use super::check_version;
use crate::{
    disk::{Disk, WriteIf},
    fault::{fault, no_such_bucket},
    key::{Bucket, Key, KeyFault, Place},
    store::Store,
};

/// Keys of one DeleteObjects, as in S3.
const MAX_KEYS: usize = 1_000;

/// The place of a key; `None` if nothing can ever lie under it.
fn target(root: &std::path::Path, bucket: &Bucket, key: &str) -> S3Result<Option<Place>> {
    match Key::parse(key) {
        Ok(key) => Ok(Some(Place::new(root, bucket, &key))),
        Err(KeyFault::TrailingSlash) => Ok(None),
        Err(reason) => Err(reason.into()),
    }
}

pub(crate) async fn one(
    store: &Store,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<DeleteObjectOutput> {
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    let bucket = Bucket::parse(&input.bucket)?;
    let when = WriteIf::new(input.if_match, None)?;
    store
        .on_disk(move |disk| remove_one(disk, &bucket, &input.key, &when))
        .await?;
    Ok(DeleteObjectOutput::default())
}

fn remove_one(disk: &Disk, bucket: &Bucket, key: &str, when: &WriteIf) -> S3Result<()> {
    super::bucket::exists(disk, bucket)?;
    let Some(place) = target(disk.root(), bucket, key)? else {
        return Ok(());
    };
    disk.unlink(&place, when)?;
    disk.settle(&[place])
}

pub(crate) async fn many(
    store: &Store,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<DeleteObjectsOutput> {
    let bucket = Bucket::parse(&request.input.bucket)?;
    let delete = request.input.delete;
    if delete.objects.is_empty() || delete.objects.len() > MAX_KEYS {
        return Err(fault(
            S3ErrorCode::MalformedXML,
            "one request deletes 1 to 1,000 keys",
        ));
    }
    let quiet = delete.quiet.unwrap_or(false);
    store
        .on_disk(move |disk| remove_many(disk, &bucket, delete.objects, quiet))
        .await
}

fn remove_many(
    disk: &Disk,
    bucket: &Bucket,
    objects: Vec<ObjectIdentifier>,
    quiet: bool,
) -> S3Result<DeleteObjectsOutput> {
    if !disk.bucket_folder(bucket).is_dir() {
        return Err(no_such_bucket());
    }
    let (mut places, mut deleted, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for object in objects {
        match remove_listed(disk, bucket, &object) {
            Ok(place) => {
                places.extend(place);
                deleted.push(DeletedObject {
                    key: Some(object.key),
                    ..DeletedObject::default()
                });
            }
            Err(error) => errors.push(fault_of(object.key, &error)),
        }
    }
    places.sort_unstable_by(|one, other| one.folder().cmp(other.folder()));
    disk.settle(&places)?;
    Ok(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        ..DeleteObjectsOutput::default()
    })
}

fn remove_listed(
    disk: &Disk,
    bucket: &Bucket,
    object: &ObjectIdentifier,
) -> S3Result<Option<Place>> {
    check_version(object.version_id.as_deref())?;
    let when = WriteIf::new(
        object
            .e_tag
            .clone()
            .map(|tag: ETag| ETagCondition::ETag(tag)),
        None,
    )?;
    let place = target(disk.root(), bucket, &object.key)?;
    if let Some(place) = &place {
        disk.unlink(place, &when)?;
    }
    Ok(place)
}

fn fault_of(key: String, error: &S3Error) -> DeleteFault {
    DeleteFault {
        key: Some(key),
        code: Some(error.code().as_str().to_owned()),
        message: error.message().map(str::to_owned),
        ..DeleteFault::default()
    }
}
