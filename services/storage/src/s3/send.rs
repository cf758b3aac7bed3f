//! Sending one request: attempts, back-off, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use granary_core::{Error, Result};
use granary_runtime::objects::answer;
use http::{HeaderMap, StatusCode};
use rand::Rng as _;
use rusty_s3::S3Action;
use url::Url;

use super::{Client, OWN_EXPIRY};

const ATTEMPTS: u32 = 4;
/// What an answer may hold: a list of 1,000 parts has some hundred KiB.
const MAX_ANSWER: usize = 16 << 20;

/// Headers of a request; all of them are signed.
pub(super) type Headers = Vec<(&'static str, String)>;

/// A signed request.
pub(super) struct Call {
    /// In words: completes "the object store could not …".
    what: &'static str,
    method: reqwest::Method,
    url: Url,
    headers: Headers,
    body: Bytes,
    timeout: Duration,
}

impl Call {
    /// A request with a body, perhaps empty.
    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A request that may take long.
    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// What the store answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The S3 error code, if the body has one: some requests fail with 200 and an error in the body.
    pub(super) fn code(&self) -> Option<String> {
        answer::error_code(&self.body)
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The error of an answer that nobody expects.
    pub(super) fn refused(&self, what: &str) -> Error {
        answer::refused(what, self.status, &self.code().unwrap_or_default())
    }

    fn is_passing(&self) -> bool {
        answer::is_passing(self.status, &self.code().unwrap_or_default())
    }
}

impl Client {
    /// Signs an own request with its headers.
    pub(super) fn call<'a, A: S3Action<'a>>(
        &self,
        what: &'static str,
        mut action: A,
        headers: Headers,
    ) -> Call {
        for (name, value) in &headers {
            action.headers_mut().insert(*name, value.clone());
        }
        Call {
            what,
            method: method(A::METHOD),
            url: action.sign(OWN_EXPIRY),
            headers,
            body: Bytes::new(),
            timeout: Duration::from_secs(30),
        }
    }

    /// Sends a request until it is answered with other than a passing failure, a few times at most.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            let outcome = self.once(call).await;
            let again = match &outcome {
                Ok(answer) => answer.is_passing(),
                Err(_) => true,
            };
            if !again || attempt == ATTEMPTS {
                return self.conclude(call, outcome);
            }
            tracing::debug!(what = call.what, attempt, "trying the object store again");
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    fn conclude(&self, call: &Call, outcome: reqwest::Result<Answer>) -> Result<Answer> {
        match outcome {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.is_connect() {
                    self.reach().lose();
                }
                let reason = format!(
                    "the object store did not answer when it should {}: try again",
                    call.what
                );
                Err(Error::unavailable(reason, error))
            }
        }
    }

    async fn once(&self, call: &Call) -> reqwest::Result<Answer> {
        // Never closed, so that there always is a permit in the end.
        let _slot = self.0.slots.acquire().await;
        let mut request = self
            .0
            .http
            .request(call.method.clone(), call.url.clone())
            .timeout(call.timeout);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if call.body.is_empty()
            && call.method != reqwest::Method::GET
            && call.method != reqwest::Method::HEAD
        {
            request = request.header(http::header::CONTENT_LENGTH, 0);
        }
        let response = request
            .body(call.body.clone())
            .send()
            .await
            .map_err(reqwest::Error::without_url)?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: read(response).await?,
        })
    }
}

/// Reads an answer, up to a bound: what lies behind it is of no use to anybody here.
async fn read(mut response: reqwest::Response) -> reqwest::Result<Bytes> {
    let mut body = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(reqwest::Error::without_url)?
    {
        let room = MAX_ANSWER.saturating_sub(body.len());
        body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if body.len() >= MAX_ANSWER {
            break;
        }
    }
    Ok(body.into())
}

fn method(method: rusty_s3::Method) -> reqwest::Method {
    match method {
        rusty_s3::Method::Head => reqwest::Method::HEAD,
        rusty_s3::Method::Get => reqwest::Method::GET,
        rusty_s3::Method::Post => reqwest::Method::POST,
        rusty_s3::Method::Put => reqwest::Method::PUT,
        rusty_s3::Method::Delete => reqwest::Method::DELETE,
    }
}

/// 50 to 100 ms, then twice as long each time: all attempts together stay below 2 s of waiting.
fn pause(attempt: u32) -> Duration {
    let base = 100u64 << attempt.min(5).saturating_sub(1);
    Duration::from_millis(rand::rng().random_range(base / 2..=base))
}
