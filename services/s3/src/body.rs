//! Taking in the body of a request: frames are gathered into batches, and one batch is written while the next arrives.
//!
//! Memory is bounded by a budget of batches for the whole server. Nobody holds a share of it for longer than a batch may
//! take to fill, so slow clients cannot keep it from the others.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, dto::StreamingBlob};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::fault::{blocking, custom, fault};

/// Bytes after which a batch is written.
const BATCH: u64 = 512 << 10;
/// Batches in memory, for all requests together: 48 MiB.
pub(crate) const BUDGET: usize = 96;
/// How long a batch may fill before it is written as it is.
const FILL: Duration = Duration::from_secs(2);
/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(60);

/// Some consecutive bytes of a body.
pub(crate) struct Batch {
    pub(crate) frames: Vec<Bytes>,
    pub(crate) last: bool,
    _share: Option<OwnedSemaphorePermit>,
}

/// A body that is still arriving.
pub(crate) struct Incoming {
    body: StreamingBlob,
    /// Bytes that the request announced.
    length: u64,
    received: u64,
    budget: Arc<Semaphore>,
    /// Cancelled when nobody wants the rest any more.
    stop: CancellationToken,
}

impl Incoming {
    /// `limit` is the most bytes that the operation takes.
    pub(crate) fn new(
        body: Option<StreamingBlob>,
        length: Option<i64>,
        limit: u64,
        budget: &Arc<Semaphore>,
        stop: CancellationToken,
    ) -> S3Result<Self> {
        let length = length.and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or_else(|| {
            fault(
                S3ErrorCode::MissingContentLength,
                "the request needs a Content-Length",
            )
        })?;
        if length > limit {
            return Err(fault(
                S3ErrorCode::EntityTooLarge,
                "the body is larger than one request may carry: send it in parts",
            ));
        }
        let body = body.unwrap_or_else(|| {
            StreamingBlob::wrap(futures::stream::empty::<Result<Bytes, std::io::Error>>())
        });
        Ok(Self {
            body,
            length,
            received: 0,
            budget: Arc::clone(budget),
            stop,
        })
    }

    /// Bytes that the request announced.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The next batch. The last one ends the body, and is the only one that may be empty.
    ///
    /// # Errors
    /// If the body is shorter or longer than announced, its signature is wrong, or the client stops sending.
    async fn next(&mut self) -> S3Result<Batch> {
        let mut batch = Batch {
            frames: Vec::new(),
            last: false,
            _share: None,
        };
        let Some(first) = self.frame().await? else {
            return self.end(batch);
        };
        batch._share = Arc::clone(&self.budget).acquire_owned().await.ok();
        let mut bytes = first.len() as u64;
        batch.frames.push(first);
        let full_at = Instant::now() + FILL;
        while bytes < BATCH {
            match timeout_at(full_at, self.frame()).await {
                Err(_) => return Ok(batch),
                Ok(frame) => match frame? {
                    None => return self.end(batch),
                    Some(frame) => {
                        bytes += frame.len() as u64;
                        batch.frames.push(frame);
                    }
                },
            }
        }
        Ok(batch)
    }

    async fn frame(&mut self) -> S3Result<Option<Bytes>> {
        let frame = tokio::select! {
            () = self.stop.cancelled() => return Err(closing()),
            frame = timeout(IDLE, self.body.next()) => frame,
        };
        match frame {
            Err(_) => Err(fault(
                S3ErrorCode::RequestTimeout,
                "nothing of the body arrived for a minute",
            )),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(broken(&error)),
            Ok(Some(Ok(frame))) => {
                self.received += frame.len() as u64;
                if self.received > self.length {
                    Err(wrong_length())
                } else {
                    Ok(Some(frame))
                }
            }
        }
    }

    fn end(&self, mut batch: Batch) -> S3Result<Batch> {
        if self.received != self.length {
            return Err(wrong_length());
        }
        batch.last = true;
        Ok(batch)
    }
}

fn wrong_length() -> S3Error {
    fault(
        S3ErrorCode::IncompleteBody,
        "the body has not the length that the request announced: nothing was stored",
    )
}

/// The upload to which the body belongs is being completed or aborted.
pub(crate) fn closing() -> S3Error {
    custom(
        "OperationAborted",
        http::StatusCode::CONFLICT,
        "the multipart upload is being completed or aborted",
    )
}

/// What an error of the body's stream means. The types of s3s are private, so its texts have to tell.
fn broken(error: &StdError) -> S3Error {
    let text = error.to_string();
    tracing::debug!(error = text, "a body broke off");
    match text.as_str() {
        text if text.contains("Sha256Mismatch") => custom(
            "XAmzContentSHA256Mismatch",
            http::StatusCode::BAD_REQUEST,
            "the bytes are not those of x-amz-content-sha256",
        ),
        text if text.contains("SignatureMismatch") => fault(
            S3ErrorCode::SignatureDoesNotMatch,
            "the signature of a chunk of the body is wrong",
        ),
        _ => wrong_length(),
    }
}

/// What takes batches, on a thread for waiting.
pub(crate) trait Sink: Send + 'static {
    fn write(&mut self, batch: &Batch) -> S3Result<()>;
}

/// Writes all of a body but its last batch, which the caller writes together with what finishes the object:
/// so a small object takes one trip to the disk's threads.
pub(crate) async fn pump<S: Sink>(incoming: &mut Incoming, mut sink: S) -> S3Result<(S, Batch)> {
    let mut batch = incoming.next().await?;
    while !batch.last {
        let writing = blocking(move || sink.write(&batch).map(|()| sink));
        let (written, next) = tokio::join!(writing, incoming.next());
        (sink, batch) = (written?, next?);
    }
    Ok((sink, batch))
}
