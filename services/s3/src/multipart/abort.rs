//! Giving an upload up.

use std::sync::Arc;

use s3s::{
    S3Request, S3Result,
    dto::{AbortMultipartUploadInput, AbortMultipartUploadOutput},
};

use super::{Closing, remove_folder};
use crate::{
    disk::Disk,
    fault::{blocking, io_fault, no_such_upload},
    store::Store,
};

pub(crate) async fn abort(
    store: &Store,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<AbortMultipartUploadOutput> {
    let input = request.input;
    let place = store.place(&input.bucket, &input.key)?;
    let upload = store.uploads.find(&input.upload_id, &place).await?;
    let (closing, disk) = (store.uploads.close(upload), Arc::clone(&store.disk));
    blocking(move || remove(&disk, &closing)).await?;
    Ok(AbortMultipartUploadOutput::default())
}

fn remove(disk: &Disk, closing: &Closing) -> S3Result<()> {
    let _alone = closing.upload.gate.blocking_write();
    if closing.upload.is_over() {
        return Err(no_such_upload());
    }
    remove_folder(disk, &closing.upload.folder);
    disk.sync_folder(&disk.upload_folder())
        .map_err(io_fault("make the removal durable"))
}
