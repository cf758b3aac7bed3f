//! The bytes of an object on their way out: one chunk is read while the one before is being sent.

use std::{
    fs::File,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::Stream;
use s3s::{
    Body, StdError,
    dto::StreamingBlob,
    stream::{ByteStream, RemainingLength},
};
use tokio::task::JoinHandle;

use crate::disk::read_range;

/// Bytes of one read. Two of them are in memory for each answer that is being sent.
pub(super) const CHUNK: u64 = 256 << 10;

/// A range of a file, read on demand.
pub(super) struct FileStream {
    file: Arc<File>,
    offset: u64,
    /// Bytes that no read has been started for.
    unread: u64,
    /// Bytes that have not been handed out.
    unsent: u64,
    reading: Option<JoinHandle<std::io::Result<Bytes>>>,
}

impl FileStream {
    /// The body of an answer. Its first chunk is being read when this returns.
    pub(super) fn blob(file: File, offset: u64, length: u64) -> StreamingBlob {
        let mut stream = Self {
            file: Arc::new(file),
            offset,
            unread: length,
            unsent: length,
            reading: None,
        };
        stream.read_on();
        StreamingBlob::new(stream)
    }

    fn read_on(&mut self) {
        let length = self.unread.min(CHUNK);
        if length == 0 {
            return;
        }
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        self.offset += length;
        self.unread -= length;
        let length = usize::try_from(length).unwrap_or_default();
        self.reading = Some(tokio::task::spawn_blocking(move || {
            read_range(&file, offset, length)
        }));
    }
}

impl Stream for FileStream {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        // An error ends the connection before the announced length, so no client takes what it has for the whole.
        let chunk = read.map_err(StdError::from)?.inspect_err(
            |error| tracing::error!(%error, "an object broke off while it was read"),
        )?;
        self.unsent -= chunk.len() as u64;
        self.read_on();
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl ByteStream for FileStream {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(usize::try_from(self.unsent).unwrap_or(usize::MAX))
    }
}

/// Bytes that are already here.
pub(super) fn blob_of(bytes: Bytes) -> StreamingBlob {
    StreamingBlob::from(Body::from(bytes))
}
