//! Outliving passing failures.

use std::{future::Future, time::Duration};

use granary_core::{Error, Result};
use granary_runtime::rpc::from_status;
use rand::Rng as _;
use tokio::time::Instant;
use tonic::{Code, Response, Status};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest that one call may take.
const CALL: Duration = Duration::from_secs(130);

/// How long failures in a row are borne.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    since: Option<Instant>,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            pause: FIRST_PAUSE,
        }
    }

    /// After a failure: waits a while and longer each time, by chance so that many do not come back at once. False when it is enough.
    pub(crate) async fn wait(&mut self) -> bool {
        if self.since.get_or_insert_with(Instant::now).elapsed() >= self.limit {
            return false;
        }
        let pause = rand::rng().random_range(self.pause / 2..=self.pause);
        tokio::time::sleep(pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// After a success: what fails next is a new failure.
    pub(crate) fn renew(&mut self) {
        *self = Self::new(self.limit);
    }
}

/// Makes a call that is safe to repeat, again and again while it fails for passing reasons.
pub(crate) async fn call<T, F, C>(limit: Duration, mut make: F) -> Result<T>
where
    F: FnMut() -> C,
    C: Future<Output = Result<Response<T>, Status>>,
{
    let mut patience = Patience::new(limit);
    loop {
        let status = match tokio::time::timeout(CALL, make()).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("the server took too long to answer: try again"),
        };
        if !is_transient(&status) {
            return Err(from_status(status));
        }
        if !patience.wait().await {
            return Err(given_up(status));
        }
    }
}

/// Whether a call may succeed later. A status that this side made, because the connection failed, has a source; one of the server has none.
fn is_transient(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => true,
        Code::ResourceExhausted => from_status(status.clone()).is_transient(),
        Code::Unknown | Code::Internal | Code::Cancelled => {
            std::error::Error::source(status).is_some()
        }
        _ => false,
    }
}

fn given_up(status: Status) -> Error {
    let from_here = std::error::Error::source(&status).is_some();
    match from_status(status) {
        Error::Unavailable { .. } | Error::Internal { .. } | Error::Cancelled { .. } if from_here => {
            Error::Unavailable { reason: "the server cannot be reached: see that it runs and that the endpoint is right, then try again".into(), cause: None }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_restarts_is_waited_for() {
        let calls = AtomicU32::new(0);
        let answer = call(Duration::from_secs(60), || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0..5 => Err(Status::unavailable("restarting")),
                _ => Ok(Response::new(7)),
            }
        });
        assert_eq!(answer.await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let begun = Instant::now();
        let answer: Result<()> = call(Duration::from_secs(60), || async {
            Err(Status::unavailable("gone"))
        })
        .await;
        assert!(matches!(answer, Err(Error::Unavailable { .. })));
        assert!((60..70).contains(&begun.elapsed().as_secs()));
    }

    #[tokio::test]
    async fn what_is_wrong_is_not_tried_again() {
        let calls = AtomicU32::new(0);
        let answer: Result<()> = call(Duration::from_secs(60), || async {
            calls.fetch_add(1, Ordering::Relaxed);
            Err(Status::permission_denied("no"))
        })
        .await;
        assert!(matches!(answer, Err(Error::Denied { .. })));
        assert_eq!(calls.into_inner(), 1);
    }
}
