//! The S3 operations, each handed to where it is done. What is not here answers `NotImplemented`.

use std::sync::Arc;

use s3s::{S3, S3Request, S3Response, S3Result, dto};
use tokio::sync::Semaphore;

use crate::{
    body::BUDGET,
    disk::Disk,
    fault::blocking,
    key::{Bucket, Key, Place},
    multipart::{self, Uploads},
    ops,
};

/// The back end of the endpoint.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) disk: Arc<Disk>,
    pub(crate) uploads: Arc<Uploads>,
    /// Batches of bodies that may be in memory.
    pub(crate) budget: Arc<Semaphore>,
    pub(crate) region: Arc<str>,
}

impl Store {
    pub(crate) fn new(disk: Disk, region: &str) -> Self {
        let disk = Arc::new(disk);
        Self {
            uploads: Arc::new(Uploads::new(Arc::clone(&disk))),
            disk,
            budget: Arc::new(Semaphore::new(BUDGET)),
            region: region.into(),
        }
    }

    /// Where an object of these names lies, or would lie.
    pub(crate) fn place(&self, bucket: &str, key: &str) -> S3Result<Place> {
        Ok(Place::new(
            self.disk.root(),
            &Bucket::parse(bucket)?,
            &Key::parse(key)?,
        ))
    }

    /// Runs work on the disk.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let disk = Arc::clone(&self.disk);
        blocking(move || work(&disk)).await
    }
}

/// Hands each operation of the trait to a function of the same shape.
macro_rules! operations {
    ($($name:ident: $input:ident => $output:ident = $done:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Store {
            $(async fn $name(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                $done(self, request).await.map(S3Response::new)
            })*
        }
    };
}

operations! {
    create_bucket: CreateBucketInput => CreateBucketOutput = ops::bucket::create;
    head_bucket: HeadBucketInput => HeadBucketOutput = ops::bucket::head;
    delete_bucket: DeleteBucketInput => DeleteBucketOutput = ops::bucket::delete;
    list_buckets: ListBucketsInput => ListBucketsOutput = ops::bucket::list;
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput = ops::bucket::location;
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput = ops::bucket::versioning;
    put_object: PutObjectInput => PutObjectOutput = ops::put::put;
    get_object: GetObjectInput => GetObjectOutput = ops::get::get;
    head_object: HeadObjectInput => HeadObjectOutput = ops::get::head;
    delete_object: DeleteObjectInput => DeleteObjectOutput = ops::delete::one;
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput = ops::delete::many;
    copy_object: CopyObjectInput => CopyObjectOutput = ops::copy::copy;
    list_objects: ListObjectsInput => ListObjectsOutput = ops::list::v1;
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output = ops::list::v2;
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput = multipart::create::create;
    upload_part: UploadPartInput => UploadPartOutput = multipart::part::upload;
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput = multipart::part::copy;
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput = multipart::complete::complete;
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput = multipart::abort::abort;
    list_parts: ListPartsInput => ListPartsOutput = multipart::list::parts;
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput = multipart::list::uploads;
}
