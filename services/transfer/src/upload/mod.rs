//! Uploads: a pipeline without barriers. While some files are read and hashed, others are registered, sent and confirmed.
//!
//! Small files are read once, into memory of bounded size, and sent from there. Large ones are read twice: once to hash them, once to send
//! them in parts, each of which the store compares with what the first reading gave.

mod confirm;
mod create;
mod large;
mod prepare;
mod run;
mod small;

use std::{sync::Arc, time::Duration};

use granary_core::{Error, Result, name::SessionName};
use granary_runtime::Link;
use reqwest::Client;

use crate::{Item, Progress, http};

/// How uploads are done.
#[derive(Clone, Copy, Debug)]
pub struct UploadOptions {
    /// The most requests at the store at once.
    pub concurrency: usize,
    /// The most memory for the bytes of small files, in bytes; at least 8 MiB.
    pub memory: usize,
    /// How long passing failures are borne.
    pub patience: Duration,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            memory: 64 << 20,
            patience: Duration::from_secs(60),
        }
    }
}

/// What an upload came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Files that are in the store now.
    pub files: u64,
    /// Bytes that were sent.
    pub bytes_sent: u64,
    /// Bytes that were there already.
    pub bytes_skipped: u64,
}

/// Sends files into sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploader {
    storage: Link,
    /// Or why there is none: whoever uploads learns it.
    client: Result<Client>,
    options: UploadOptions,
}

/// How often a file is sent again that the store turns out not to have.
const ROUNDS: usize = 3;

impl Uploader {
    /// An uploader by this way to the storage service.
    pub fn new(storage: Link, options: UploadOptions) -> Self {
        Self {
            storage,
            client: http::client(options.concurrency),
            options,
        }
    }

    /// Sends files into an open session; all of them are confirmed when it returns. Files that are there with the same content are not sent
    /// again, so that an upload that was interrupted goes on when it is repeated.
    ///
    /// The first failure ends it. Errors: [`Error::Precondition`] if a file cannot be read or changed while it was sent, or the session is not
    /// open; [`Error::AlreadyExists`] if a path is taken by other content; [`Error::Unavailable`] if the server or the store cannot be
    /// reached for longer than the patience.
    pub async fn upload(
        &self,
        session: &SessionName,
        items: Vec<Item>,
        progress: &dyn Progress,
    ) -> Result<Uploaded> {
        let client = self.client.clone()?;
        let items = prepare::measure(items, progress).await?;
        let run = run::Run::new(self, &client, session, progress);
        let (mut left, mut last) = (items, None);
        for _ in 0..ROUNDS {
            let lost = run.run(std::mem::take(&mut left)).await?;
            let Some((file, error)) = lost.first() else {
                return Ok(run.uploaded());
            };
            last = Some(named(&file.item.path, error.clone()));
            left = lost.into_iter().map(|(file, _)| file).collect();
        }
        last.map_or_else(|| Ok(run.uploaded()), Err)
    }
}

/// A file to send, with its size when the upload began.
#[derive(Clone, Debug)]
pub(crate) struct File {
    item: Arc<Item>,
    size: u64,
}

/// Puts the path of a file before an error about it.
fn named(path: &str, error: Error) -> Error {
    match error {
        Error::Precondition { resource, reason } if resource.ends_with(path) => {
            Error::Precondition { resource, reason }
        }
        Error::DataLoss { reason, .. } => Error::DataLoss {
            resource: path.to_owned(),
            reason,
        },
        Error::Precondition { reason, .. } => Error::precondition(path, reason),
        Error::Exhausted {
            reason,
            retry_after,
            quota_of,
        } => Error::Exhausted {
            reason: format!("{path}: {reason}"),
            retry_after,
            quota_of,
        },
        Error::Unavailable { reason, cause } => Error::Unavailable {
            reason: format!("{path}: {reason}"),
            cause,
        },
        other => other,
    }
}
