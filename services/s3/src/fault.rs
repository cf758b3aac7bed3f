//! S3 errors of single requests. What went wrong in the machine goes to the log; the client learns what it means for it.

use std::io;

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, S3Result};

/// An S3 error with a text.
pub(crate) fn fault(code: S3ErrorCode, text: &'static str) -> S3Error {
    S3Error::with_message(code, text)
}

/// An S3 error whose code is not in the standard list.
pub(crate) fn custom(code: &'static str, status: StatusCode, text: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), text);
    error.set_status_code(status);
    error
}

pub(crate) fn no_such_key() -> S3Error {
    fault(S3ErrorCode::NoSuchKey, "the key does not exist")
}

pub(crate) fn no_such_bucket() -> S3Error {
    fault(S3ErrorCode::NoSuchBucket, "the bucket does not exist")
}

pub(crate) fn no_such_upload() -> S3Error {
    fault(
        S3ErrorCode::NoSuchUpload,
        "the multipart upload does not exist: it was completed or aborted, or never begun",
    )
}

pub(crate) fn precondition_failed() -> S3Error {
    fault(
        S3ErrorCode::PreconditionFailed,
        "the object does not fulfil the condition of the request",
    )
}

/// One key names a file and another key would need a folder of that name.
pub(crate) fn key_conflict() -> S3Error {
    custom(
        "KeyConflict",
        StatusCode::CONFLICT,
        "the key cannot lie here: one of two keys is the other with a slash and more behind it, and this store keeps keys as files and folders",
    )
}

/// Turns an error of the machine into one for the client; `doing` completes "the store could not …".
pub(crate) fn io_fault(doing: &'static str) -> impl Fn(io::Error) -> S3Error {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            tracing::warn!(%error, doing, "the store is full");
            custom(
                "InsufficientStorage",
                StatusCode::INSUFFICIENT_STORAGE,
                "the store is full: free some space, then try again",
            )
        }
        kind => {
            tracing::error!(%error, ?kind, doing, "the store failed");
            S3Error::with_message(
                S3ErrorCode::InternalError,
                format!("the store could not {doing}"),
            )
        }
    }
}

/// Runs work that waits for the disk, away from the threads that serve the network.
///
/// The work goes on to its end when the caller goes away, so whatever it must release has to be owned by it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "work on the disk ended early");
            Err(fault(
                S3ErrorCode::InternalError,
                "the store could not finish the request",
            ))
        })
}
