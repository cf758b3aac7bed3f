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
/// What one call may always take.
const SHORTEST_CALL: Duration = Duration::from_secs(5);
/// How often a URL is signed for the same bytes.
const SIGNATURES: u32 = 3;

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

    /// How long the next call may take: what is left after a failure, though enough to be answered.
    fn left(&self) -> Duration {
        let failing = self.since.map(|since| since.elapsed());
        failing.map_or(CALL, |failing| {
            self.limit
                .saturating_sub(failing)
                .clamp(SHORTEST_CALL, CALL)
        })
    }
}

/// Repeated attempts at a signed request: passing failures are borne for a while, and a URL that ended is signed anew a few times.
#[derive(Debug)]
pub(crate) struct Attempts {
    patience: Patience,
    signatures: u32,
}

impl Attempts {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            patience: Patience::new(limit),
            signatures: 1,
        }
    }

    /// After progress: failures and signatures are counted from here.
    pub(crate) fn renew(&mut self) {
        self.patience.renew();
        self.signatures = 1;
    }

    /// After a URL was refused: whether another one is worth asking for.
    pub(crate) fn sign_again(&mut self) -> bool {
        self.signatures += 1;
        self.signatures <= SIGNATURES
    }

    /// After a passing failure: waits a while. False when it is enough.
    pub(crate) async fn wait(&mut self) -> bool {
        self.patience.wait().await
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
        let status = match tokio::time::timeout(patience.left(), make()).await {
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
        // The server says CANCELLED when a call takes longer than it lets one take.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => true,
        Code::ResourceExhausted => from_status(status.clone()).is_transient(),
        Code::Unknown | Code::Internal => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

fn given_up(status: Status) -> Error {
    let from_here = std::error::Error::source(&status).is_some();
    match from_status(status) {
        Error::Unavailable { .. } | Error::Internal { .. } | Error::Cancelled { .. } if from_here => {
            Error::Unavailable { reason: "the server cannot be reached: see that it runs and that the endpoint is right, then try again".into(), cause: None }
        }
        Error::Cancelled { .. } => Error::DeadlineExceeded {
            reason: "the server took too long to answer: try again".into(),
        },
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

    #[tokio::test(start_paused = true)]
    async fn a_call_that_the_server_ends_is_made_again_and_at_last_took_too_long() {
        let calls = AtomicU32::new(0);
        let answer = call(Duration::from_secs(60), || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Status::cancelled("Timeout expired")),
                _ => Ok(Response::new(7)),
            }
        });
        assert_eq!(answer.await.unwrap(), 7);
        let answer: Result<()> = call(Duration::from_secs(60), || async {
            Err(Status::cancelled("Timeout expired"))
        })
        .await;
        assert!(
            matches!(answer, Err(Error::DeadlineExceeded { .. })),
            "{answer:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_after_failures_ends_with_the_patience() {
        let (begun, calls) = (Instant::now(), AtomicU32::new(0));
        let answer: Result<()> = call(Duration::from_secs(60), || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Status::unavailable("restarting")),
                _ => std::future::pending().await,
            }
        })
        .await;
        assert!(
            matches!(answer, Err(Error::DeadlineExceeded { .. })),
            "{answer:?}"
        );
        assert!((60..70).contains(&begun.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_renews_signatures() {
        let mut attempts = Attempts::new(Duration::from_secs(60));
        for _ in 0..3 {
            assert!(attempts.sign_again() && attempts.sign_again());
            assert!(!attempts.sign_again());
            attempts.renew();
        }
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
