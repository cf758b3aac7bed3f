//! Sending a small file: one PUT.

use bytes::Bytes;
use granary_core::{Error, Result};
use granary_proto::storage::v1::{SignedRequest, Upload, UploadState};
use reqwest::Body;

use super::{
    named,
    prepare::{Content, Prepared},
    run::{Run, Sent},
};
use crate::{
    http::{self, Outcome},
    retry::Attempts,
};

impl Run<'_> {
    /// Sends a file; none if it was there already.
    pub(super) async fn send(&self, file: Prepared, upload: Upload) -> Result<Option<Sent>> {
        if upload.state() == UploadState::Completed {
            return Ok(self.already_there(&file));
        }
        let sent = match &file.content {
            Content::Whole(bytes, _) => self.send_whole(&file, bytes, &upload).await,
            Content::Parts(hashed) => self.send_parts(&file, hashed, &upload).await,
        };
        sent.map_err(|error| named(&file.file.item.path, error))
    }

    /// Makes a signed request when it is its turn.
    pub(super) async fn put(
        &self,
        signed: &SignedRequest,
        body: impl Into<Body>,
    ) -> Result<Outcome> {
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|error| Error::internal("waiting to send", error))?;
        Ok(http::put(self.client, signed, body).await)
    }

    pub(super) fn already_there(&self, file: &Prepared) -> Option<Sent> {
        self.count_skipped(file.file.size);
        self.count_file(&file.file.item.path);
        None
    }

    // A store that refuses a second write may close the connection while the bytes are still on their way, and its answer is lost each time.
    async fn has_arrived(&self, file: &Prepared, upload: &Upload) -> Result<bool> {
        let sent = [(file.file.clone(), upload.name.clone())];
        let results = self.complete(&sent).await?;
        Ok(results.iter().all(|result| result.error.is_none()))
    }

    async fn send_whole(
        &self,
        file: &Prepared,
        bytes: &Bytes,
        upload: &Upload,
    ) -> Result<Option<Sent>> {
        let mut attempts = Attempts::new(self.options.patience);
        let mut put = signed(upload)?;
        loop {
            let outcome = self.put(&put, bytes.clone()).await?;
            let reason = match outcome {
                Outcome::Stored => {
                    self.count_sent(file.file.size);
                    return Ok(Some(Sent::Arrived(file.file.clone(), upload.name.clone())));
                }
                Outcome::Present => {
                    self.count_skipped(file.file.size);
                    return Ok(Some(Sent::Arrived(file.file.clone(), upload.name.clone())));
                }
                Outcome::Unsigned(reason) if !attempts.sign_again() => {
                    return Err(refused(&reason));
                }
                Outcome::Unsigned(_) => {
                    let again = self.create_again(file).await?;
                    if again.state() == UploadState::Completed {
                        return Ok(self.already_there(file));
                    }
                    put = signed(&again)?;
                    continue;
                }
                Outcome::Refused(error) => return Err(error),
                Outcome::Damaged => "the bytes were damaged on their way".to_owned(),
                Outcome::Unknown(_) if self.has_arrived(file, upload).await? => {
                    return Ok(self.already_there(file));
                }
                Outcome::Unknown(reason) | Outcome::Later(reason) => reason,
            };
            tracing::debug!(path = file.file.item.path, reason, "sending failed");
            if !attempts.wait().await {
                return Err(unreachable(&reason));
            }
        }
    }
}

fn signed(upload: &Upload) -> Result<SignedRequest> {
    upload
        .put
        .clone()
        .ok_or_else(|| Error::internal("sending a file", "the server signed no request for it"))
}

pub(super) fn refused(reason: &str) -> Error {
    Error::precondition(
        "the object store",
        format!(
            "the object store refused the signed request ({reason}): compare the clocks of the server and of the store"
        ),
    )
}

pub(super) fn unreachable(reason: &str) -> Error {
    Error::Unavailable {
        reason: format!(
            "the object store did not take it ({reason}): see that it runs and can be reached from here, then try again"
        ),
        cause: None,
    }
}
