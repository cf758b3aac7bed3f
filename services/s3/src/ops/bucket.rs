//! Buckets: folders below the root.

use std::{fs, time::SystemTime};

use s3s::{
    S3ErrorCode, S3Request, S3Result,
    dto::{
        Bucket as BucketLine, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput,
        DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput,
        GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput,
        ListBucketsInput, ListBucketsOutput, Timestamp,
    },
};

use super::page_size;
use crate::{
    disk::Disk,
    fault::{fault, io_fault, no_such_bucket},
    key::Bucket,
    store::Store,
};

/// The region that S3 leaves unnamed.
const UNNAMED_REGION: &str = "us-east-1";

pub(crate) async fn create(
    store: &Store,
    request: S3Request<CreateBucketInput>,
) -> S3Result<CreateBucketOutput> {
    let bucket = Bucket::parse(&request.input.bucket)?;
    let wanted = request
        .input
        .create_bucket_configuration
        .and_then(|configuration| configuration.location_constraint);
    if wanted.is_some_and(|region| !["", &*store.region].contains(&region.as_str())) {
        return Err(fault(
            S3ErrorCode::IllegalLocationConstraintException,
            "the store is in another region",
        ));
    }
    if request.input.object_lock_enabled_for_bucket == Some(true) {
        return Err(super::not_supported("object lock"));
    }
    let location = format!("/{}", bucket.as_str());
    let made = store
        .on_disk(move |disk| {
            disk.make_bucket(&disk.bucket_folder(&bucket))
                .map_err(io_fault("make the bucket"))
        })
        .await?;
    if !made {
        return Err(fault(
            S3ErrorCode::BucketAlreadyOwnedByYou,
            "the bucket exists, and is yours",
        ));
    }
    Ok(CreateBucketOutput {
        location: Some(location),
    })
}

/// Fails unless the bucket is there.
pub(crate) fn exists(disk: &Disk, bucket: &Bucket) -> S3Result<()> {
    if disk.bucket_folder(bucket).is_dir() {
        Ok(())
    } else {
        Err(no_such_bucket())
    }
}

async fn check(store: &Store, bucket: &str) -> S3Result<()> {
    let bucket = Bucket::parse(bucket)?;
    store.on_disk(move |disk| exists(disk, &bucket)).await
}

pub(crate) async fn head(
    store: &Store,
    request: S3Request<HeadBucketInput>,
) -> S3Result<HeadBucketOutput> {
    check(store, &request.input.bucket).await?;
    Ok(HeadBucketOutput {
        bucket_region: Some(store.region.to_string()),
        ..HeadBucketOutput::default()
    })
}

pub(crate) async fn delete(
    store: &Store,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<DeleteBucketOutput> {
    let bucket = Bucket::parse(&request.input.bucket)?;
    store
        .on_disk(move |disk| disk.remove_bucket(&disk.bucket_folder(&bucket)))
        .await?;
    Ok(DeleteBucketOutput {})
}

pub(crate) async fn location(
    store: &Store,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<GetBucketLocationOutput> {
    check(store, &request.input.bucket).await?;
    let region = Some(store.region.to_string()).filter(|region| region != UNNAMED_REGION);
    Ok(GetBucketLocationOutput {
        location_constraint: region.map(BucketLocationConstraint::from),
    })
}

/// Never switched on.
pub(crate) async fn versioning(
    store: &Store,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<GetBucketVersioningOutput> {
    check(store, &request.input.bucket).await?;
    Ok(GetBucketVersioningOutput::default())
}

pub(crate) async fn list(
    store: &Store,
    request: S3Request<ListBucketsInput>,
) -> S3Result<ListBucketsOutput> {
    let ListBucketsInput {
        prefix,
        continuation_token,
        max_buckets,
        ..
    } = request.input;
    let limit = page_size(max_buckets)?;
    let start = prefix.clone().unwrap_or_default();
    let after = continuation_token.unwrap_or_default();
    let mut found = store.on_disk(buckets).await?;
    found.retain(|(name, _)| name.starts_with(&start) && *name > after);
    let next = if found.len() > limit {
        limit
            .checked_sub(1)
            .and_then(|last| found.get(last))
            .map(|(name, _)| name.clone())
    } else {
        None
    };
    found.truncate(limit);
    let line = |(name, made): (String, Timestamp)| BucketLine {
        name: Some(name),
        creation_date: Some(made),
        bucket_region: Some(store.region.to_string()),
    };
    let buckets = found.into_iter().map(line).collect();
    Ok(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token: next,
        prefix,
        ..ListBucketsOutput::default()
    })
}

fn buckets(disk: &Disk) -> S3Result<Vec<(String, Timestamp)>> {
    let failed = io_fault("list the buckets");
    let mut found = Vec::new();
    for entry in fs::read_dir(disk.root()).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry
            .file_name()
            .into_string()
            .ok()
            .filter(|name| Bucket::parse(name).is_ok());
        let (Some(name), Ok(metadata)) = (name, entry.metadata()) else {
            continue;
        };
        if metadata.is_dir() {
            let made = metadata
                .created()
                .or_else(|_| metadata.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((name, made.into()));
        }
    }
    found.sort_unstable();
    Ok(found)
}
