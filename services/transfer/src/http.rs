//! Requests at the store, and what its answers mean.

use std::time::Duration;

use granary_core::{Error, Result};
use granary_proto::storage::v1::SignedRequest;
use granary_runtime::objects::answer;
use http::StatusCode;
use reqwest::{Body, Client, Response, redirect::Policy};

/// A part of 1 GiB on a slow line takes long to send; a connection that is dead is noticed much earlier. What is fetched may take as long as
/// it goes on: a silent store is noticed while reading.
const LONGEST_PUT: Duration = Duration::from_secs(3600);

/// A client for presigned requests: HTTP/1.1 on connections that are kept, no redirects, no proxies.
pub(crate) fn client(concurrency: usize) -> Result<Client> {
    Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(Policy::none())
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .tcp_user_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(concurrency)
        .build()
        .map_err(|error| Error::internal("making an HTTP client", error))
}

/// What became of a PUT.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is stored.
    Stored,
    /// There is an object already.
    Present,
    /// The URL ended, or what it was for: a new one may do.
    Unsigned(String),
    /// The bytes that arrived are not those that were signed.
    Damaged,
    /// No whole answer came: it may have arrived or not.
    Unknown(String),
    /// It may work later.
    Later(String),
    /// It will not work.
    Refused(Error),
}

/// Makes a signed PUT.
pub(crate) async fn put(client: &Client, signed: &SignedRequest, body: impl Into<Body>) -> Outcome {
    let mut request = client.put(&signed.url).timeout(LONGEST_PUT).body(body);
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    match request.send().await {
        Ok(response) => outcome(response).await,
        Err(error) if error.is_connect() => Outcome::Later(unreachable(error)),
        Err(error) => Outcome::Unknown(unreachable(error)),
    }
}

async fn outcome(response: Response) -> Outcome {
    let status = response.status();
    if status.is_success() {
        // Read to its end, so that the connection is kept.
        let _ = response.bytes().await;
        return Outcome::Stored;
    }
    meaning(status, &Failure::read(response).await)
}

fn meaning(status: StatusCode, failure: &Failure) -> Outcome {
    let text = failure.text(status);
    match (status, failure.code.as_str()) {
        (StatusCode::PRECONDITION_FAILED, _) => Outcome::Present,
        (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => Outcome::Unsigned(text),
        (
            _,
            "BadDigest"
            | "XAmzContentChecksumMismatch"
            | "XAmzContentSHA256Mismatch"
            | "IncompleteBody"
            | "InvalidDigest",
        ) => Outcome::Damaged,
        (_, "InsufficientStorage" | "XMinioStorageFull")
        | (StatusCode::INSUFFICIENT_STORAGE, _) => Outcome::Refused(Error::Exhausted {
            reason: "the object store is full: make room, then try again".into(),
            retry_after: None,
            quota_of: None,
        }),
        (_, "ExpiredToken" | "RequestTimeTooSkewed") => Outcome::Unsigned(text),
        (_, "ConditionalRequestConflict" | "OperationAborted" | "RequestTimeout") => {
            Outcome::Later(text)
        }
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT, _) => Outcome::Later(text),
        (status, _) if status.is_server_error() => Outcome::Later(text),
        _ => Outcome::Refused(Error::precondition(
            "the object store",
            format!("refused it: {text}"),
        )),
    }
}

/// What the store says is wrong.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    code: String,
    message: String,
}

impl Failure {
    pub(crate) async fn read(mut response: Response) -> Self {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() >= answer::MAX_BYTES {
                break;
            }
        }
        let text = String::from_utf8_lossy(&body);
        Self {
            code: answer::element(&text, "Code"),
            message: answer::element(&text, "Message"),
        }
    }

    pub(crate) fn text(&self, status: StatusCode) -> String {
        let parts = [status.as_str(), &self.code, &self.message];
        parts
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Why no answer came, without the URL.
pub(crate) fn unreachable(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut causes = vec![error.to_string()];
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.dedup();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str) -> Failure {
        Failure {
            code: code.into(),
            message: String::new(),
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let outcome = |status: u16, code: &str| {
            meaning(StatusCode::from_u16(status).unwrap(), &failure(code))
        };
        assert!(matches!(
            outcome(412, "PreconditionFailed"),
            Outcome::Present
        ));
        assert!(matches!(outcome(403, "AccessDenied"), Outcome::Unsigned(_)));
        assert!(matches!(outcome(404, "NoSuchUpload"), Outcome::Unsigned(_)));
        assert!(matches!(outcome(400, "BadDigest"), Outcome::Damaged));
        assert!(matches!(outcome(503, "SlowDown"), Outcome::Later(_)));
        assert!(matches!(
            outcome(409, "OperationAborted"),
            Outcome::Later(_)
        ));
        assert!(matches!(outcome(409, "KeyConflict"), Outcome::Refused(_)));
        assert!(matches!(
            outcome(507, ""),
            Outcome::Refused(Error::Exhausted { .. })
        ));
    }
}
