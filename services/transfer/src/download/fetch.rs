//! Fetching one file.

use bytes::Bytes;
use granary_core::{Error, Result};
use granary_proto::storage::v1::SignedRequest;
use http::{StatusCode, header};
use reqwest::Response;

use super::{Run, Wanted, partial::Partial};
use crate::{
    http::{Failure, unreachable},
    local::blocking,
    retry::Attempts,
};

/// How much is gathered before it is written.
const PIECE: usize = 1 << 20;

/// What became of one request.
enum Got {
    /// All that was asked for is written.
    All,
    /// The URL ended.
    Unsigned(String),
    /// It may work later.
    Later(String),
}

impl Run<'_> {
    pub(super) async fn fetch(&self, file: Wanted, mut get: SignedRequest) -> Result<()> {
        let wanted = file.clone();
        let mut partial = blocking(move || Partial::open(&wanted)).await?;
        let kept = partial.length;
        self.progress.skipped(kept);
        for again in [true, false] {
            partial = self.fill(partial, &file, &mut get).await?;
            let (checked, whole) = (partial, file.clone());
            let checked = blocking(move || settle(checked, &whole, again)).await?;
            match checked {
                Some(emptied) => partial = emptied,
                None => {
                    self.done(&file);
                    return Ok(());
                }
            }
        }
        Err(lost(&file))
    }

    /// Fetches what is missing, over as many requests as it takes.
    async fn fill(
        &self,
        mut partial: Partial,
        file: &Wanted,
        get: &mut SignedRequest,
    ) -> Result<Partial> {
        let mut attempts = Attempts::new(self.downloader.options.patience);
        while partial.length < file.size_bytes {
            let before = partial.length;
            let (back, got) = self.request(partial, file, get).await?;
            partial = back;
            if partial.length > before {
                attempts.renew();
            }
            match got {
                Got::All => {}
                Got::Unsigned(reason) if !attempts.sign_again() => {
                    let reason = format!(
                        "the object store refused the signed request ({reason}): compare the clocks of the server and of the store"
                    );
                    return Err(Error::precondition(file.to.display(), reason));
                }
                Got::Unsigned(_) => *get = self.sign_again(file).await?,
                Got::Later(reason) => {
                    tracing::debug!(file = %file.to.display(), reason, "fetching failed");
                    if !attempts.wait().await {
                        let reason = format!(
                            "{}: the object store did not give it ({reason}): see that it runs and can be reached from here, then try again",
                            file.to.display()
                        );
                        return Err(Error::Unavailable {
                            reason,
                            cause: None,
                        });
                    }
                }
            }
        }
        Ok(partial)
    }

    async fn request(
        &self,
        mut partial: Partial,
        file: &Wanted,
        get: &SignedRequest,
    ) -> Result<(Partial, Got)> {
        let mut request = self.client.get(&get.url);
        for (name, value) in &get.headers {
            request = request.header(name, value);
        }
        if partial.length > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", partial.length));
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok((partial, Got::Later(unreachable(error)))),
        };
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, partial.length) => {}
            StatusCode::OK if partial.length == 0 => {}
            // A store that knows no ranges, or another range than was asked for: from the start.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                partial.restart()?;
                if response.status() != StatusCode::OK {
                    return Ok((
                        partial,
                        Got::Later("the object store gave another range".into()),
                    ));
                }
            }
            _ => return Ok((partial, refused(file, response).await?)),
        }
        self.receive(partial, file, response).await
    }

    async fn receive(
        &self,
        mut partial: Partial,
        file: &Wanted,
        mut response: Response,
    ) -> Result<(Partial, Got)> {
        let (mut pieces, mut gathered) = (Vec::new(), 0);
        loop {
            let next = response.chunk().await;
            if let Ok(Some(piece)) = &next {
                gathered += piece.len();
                pieces.push(piece.clone());
            }
            let ended = !matches!(next, Ok(Some(_)));
            if gathered >= PIECE || (ended && gathered > 0) {
                partial = write(partial, std::mem::take(&mut pieces)).await?;
                self.fetched(gathered as u64);
                gathered = 0;
            }
            if partial.length > file.size_bytes {
                return Ok((partial, Got::All));
            }
            match next {
                Ok(Some(_)) => {}
                Ok(None) if partial.length == file.size_bytes => return Ok((partial, Got::All)),
                Ok(None) => return Ok((partial, Got::Later("the answer ended early".into()))),
                Err(error) => return Ok((partial, Got::Later(unreachable(error)))),
            }
        }
    }
}

async fn write(mut partial: Partial, pieces: Vec<Bytes>) -> Result<Partial> {
    blocking(move || {
        partial.append(&pieces)?;
        Ok(partial)
    })
    .await
}

/// Puts a complete file in its place, or empties it so that it is fetched again, or gives up.
fn settle(mut partial: Partial, file: &Wanted, again: bool) -> Result<Option<Partial>> {
    if partial.is(file) {
        partial.publish(&file.to)?;
        return Ok(None);
    }
    tracing::warn!(file = %file.to.display(), again, "what was fetched is not what was stored");
    if !again {
        partial.discard()?;
        return Err(lost(file));
    }
    partial.restart()?;
    Ok(Some(partial))
}

fn lost(file: &Wanted) -> Error {
    Error::DataLoss {
        resource: file.asset.to_string(),
        reason: format!(
            "what the store gave for {} is not what was stored",
            file.to.display()
        ),
    }
}

fn starts_at(response: &Response, offset: u64) -> bool {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    range.and_then(|range| {
        range
            .strip_prefix("bytes ")?
            .split_once('-')?
            .0
            .parse()
            .ok()
    }) == Some(offset)
}

async fn refused(file: &Wanted, response: Response) -> Result<Got> {
    let status = response.status();
    let reason = Failure::read(response).await.text(status);
    match status {
        StatusCode::FORBIDDEN => Ok(Got::Unsigned(reason)),
        StatusCode::NOT_FOUND => Err(Error::DataLoss {
            resource: file.asset.to_string(),
            reason: "its object is missing from the store".into(),
        }),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Ok(Got::Later(reason)),
        status if status.is_server_error() => Ok(Got::Later(reason)),
        _ => Err(Error::precondition(
            file.to.display(),
            format!("the object store refused it: {reason}"),
        )),
    }
}
