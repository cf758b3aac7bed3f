//! The stages of one upload, and the bounded queues between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _};
use granary_core::{Error, Result, name::SessionName};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    storage::v1::{Upload, upload_service_client::UploadServiceClient},
};
use granary_runtime::Link;
use reqwest::Client;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{File, UploadOptions, Uploaded, Uploader, prepare::Prepared};
use crate::{Progress, batches::batches};

/// How many files are read and hashed at once.
const READERS: usize = 4;
/// How many files are registered, or confirmed, in one call.
const BATCH: usize = 128;
/// How long a call to register waits for more files: their bytes are in memory meanwhile.
const CREATE_WAIT: Duration = Duration::from_millis(30);
/// How long a call to confirm waits for more files, which hold nothing any more.
const CONFIRM_WAIT: Duration = Duration::from_millis(200);

/// A file whose bytes are in the store, or have to be sent again.
pub(super) enum Sent {
    Arrived(File, String),
    Lost(File, Error),
}

/// Files to send again, and why.
pub(super) type Lost = Vec<(File, Error)>;

/// What the stages share.
pub(super) struct Run<'a> {
    pub(super) link: &'a Link,
    pub(super) client: &'a Client,
    pub(super) options: UploadOptions,
    pub(super) session: &'a SessionName,
    pub(super) progress: &'a dyn Progress,
    /// KiB of memory for the bytes of small files.
    pub(super) memory: Arc<Semaphore>,
    /// Requests at the store.
    pub(super) slots: Semaphore,
    files: AtomicU64,
    sent: AtomicU64,
    skipped: AtomicU64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        uploader: &'a Uploader,
        client: &'a Client,
        session: &'a SessionName,
        progress: &'a dyn Progress,
    ) -> Self {
        let options = uploader.options;
        Self {
            link: &uploader.storage,
            client,
            options,
            session,
            progress,
            memory: Arc::new(Semaphore::new((options.memory / 1024).max(8 << 10))),
            slots: Semaphore::new(options.concurrency.max(1)),
            files: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        }
    }

    pub(super) fn uploaded(&self) -> Uploaded {
        Uploaded {
            files: self.files.load(Ordering::Relaxed),
            bytes_sent: self.sent.load(Ordering::Relaxed),
            bytes_skipped: self.skipped.load(Ordering::Relaxed),
        }
    }

    pub(super) fn uploads(&self) -> UploadServiceClient<Link> {
        UploadServiceClient::new(self.link.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(super) fn count_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.progress.sent(bytes);
    }

    pub(super) fn count_skipped(&self, bytes: u64) {
        self.skipped.fetch_add(bytes, Ordering::Relaxed);
        self.progress.skipped(bytes);
    }

    pub(super) fn count_file(&self, path: &str) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.progress.done_file(path);
    }

    /// Sends files; those that the store turned out not to have come back. The first failure ends all stages.
    pub(super) async fn run(&self, files: Vec<File>) -> Result<Lost> {
        let (to_create, prepared) = mpsc::channel(BATCH);
        let (to_send, created) = mpsc::channel(BATCH);
        let (to_confirm, sent) = mpsc::channel(BATCH);
        let ((), (), (), lost) = tokio::try_join!(
            self.prepare_all(files, to_create),
            self.create_all(prepared, to_send),
            self.send_all(created, to_confirm),
            self.confirm_all(sent)
        )?;
        Ok(lost)
    }

    // A queue whose other end is gone means that a later stage failed: its error is the one that counts.

    async fn prepare_all(&self, files: Vec<File>, next: mpsc::Sender<Prepared>) -> Result<()> {
        let mut prepared = futures::stream::iter(files)
            .map(|file| self.prepare(file).boxed())
            .buffer_unordered(READERS);
        while let Some(file) = prepared.next().await {
            if next.send(file?).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn create_all(
        &self,
        files: mpsc::Receiver<Prepared>,
        next: mpsc::Sender<(Prepared, Upload)>,
    ) -> Result<()> {
        let created = batches(ReceiverStream::new(files), BATCH, CREATE_WAIT)
            .map(|batch| self.create(batch).boxed())
            .buffer_unordered(2);
        tokio::pin!(created);
        while let Some(batch) = created.next().await {
            for file in batch? {
                if next.send(file).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn send_all(
        &self,
        files: mpsc::Receiver<(Prepared, Upload)>,
        next: mpsc::Sender<Sent>,
    ) -> Result<()> {
        let mut sent = ReceiverStream::new(files)
            .map(|(file, upload)| self.send(file, upload).boxed())
            .buffer_unordered(self.options.concurrency.max(1));
        while let Some(outcome) = sent.next().await {
            if let Some(outcome) = outcome?
                && next.send(outcome).await.is_err()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn confirm_all(&self, sent: mpsc::Receiver<Sent>) -> Result<Lost> {
        let confirmed = batches(ReceiverStream::new(sent), BATCH, CONFIRM_WAIT)
            .map(|batch| self.confirm(batch).boxed())
            .buffer_unordered(2);
        tokio::pin!(confirmed);
        let mut lost = Vec::new();
        while let Some(batch) = confirmed.next().await {
            lost.extend(batch?);
        }
        Ok(lost)
    }
}
