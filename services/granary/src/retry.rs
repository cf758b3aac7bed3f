//! Calls that are safe to repeat, repeated with back-off while the server is away: a restart in between is survived.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use granary_core::{Error, Result};
use tokio::time::Instant;

use crate::{failure::Outcome, output::Out};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How long to try.
#[derive(Debug)]
pub(crate) struct Retry {
    patience: Duration,
    out: Out,
    told: AtomicBool,
}

impl Retry {
    /// Tries once.
    pub(crate) fn never(out: &Out) -> Self {
        Self::within(Duration::ZERO, out)
    }

    /// Tries for so long after the first failure in a row, and says so once for each time that the server is away.
    pub(crate) fn within(patience: Duration, out: &Out) -> Self {
        Self {
            patience,
            out: out.clone(),
            told: AtomicBool::new(false),
        }
    }

    /// Calls until it succeeds, fails for good, or patience ends.
    pub(crate) async fn call<T>(&self, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let mut away = Away::default();
        loop {
            match attempt().await {
                Ok(answer) => {
                    self.told.store(false, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => self.pause(&mut away, error).await?,
            }
        }
    }

    /// Opens a stream again and again until it gives an answer. `read` gives nothing where the stream ended without one, as when the server
    /// drains: that too is a time that the server is away.
    pub(crate) async fn follow<T>(
        &self,
        mut read: impl AsyncFnMut(&mut Away) -> Outcome<Result<Option<T>>>,
    ) -> Outcome<T> {
        let mut away = Away::default();
        loop {
            let error = match read(&mut away).await? {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => Error::Unavailable {
                    reason: "the server ends the stream again and again".into(),
                    cause: None,
                },
                Err(error) => error,
            };
            self.pause(&mut away, error).await?;
        }
    }

    /// Waits a while after a failure that may pass; gives the error back once patience ends, or when waiting does not help.
    pub(crate) async fn pause(&self, away: &mut Away, error: Error) -> Result<()> {
        let since = *away.since.get_or_insert_with(Instant::now);
        if !error.is_transient() || since.elapsed() >= self.patience {
            return Err(error);
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            self.out.note("granary: server away, retrying");
        }
        let longest = (FIRST_PAUSE * 2_u32.saturating_pow(away.tries.min(10))).min(LONGEST_PAUSE);
        away.tries += 1;
        tokio::time::sleep(longest).await;
        Ok(())
    }
}

/// Since when the server is away.
#[derive(Debug, Default)]
pub(crate) struct Away {
    since: Option<Instant>,
    tries: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn away() -> Error {
        Error::Unavailable {
            reason: "away".into(),
            cause: None,
        }
    }

    fn retry(seconds: u64) -> Retry {
        Retry::within(
            Duration::from_secs(seconds),
            &Out::new(Format::Table).quiet(true),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_back_is_called_again() {
        let mut calls = 0;
        let retry = retry(60);
        let answer = retry.call(async || {
            calls += 1;
            if calls < 5 { Err(away()) } else { Ok(calls) }
        });
        assert_eq!(answer.await.unwrap(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let start = Instant::now();
        let error = retry(60)
            .call(async || Err::<(), _>(away()))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "away");
        assert!(
            (60..65).contains(&start.elapsed().as_secs()),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_ends_is_opened_again_after_a_pause() {
        let start = Instant::now();
        let mut opened = Vec::new();
        let retry = retry(60);
        let answer = retry.follow(async |_| {
            opened.push(start.elapsed().as_millis());
            Ok(Ok((opened.len() == 4).then_some("answer")))
        });
        assert_eq!(answer.await.unwrap(), "answer");
        assert!(opened.is_sorted_by(|a, b| a + 100 <= *b), "{opened:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_only_ends_streams_is_not_followed_for_ever() {
        let failure = retry(60)
            .follow(async |_| Ok(Ok(None::<()>)))
            .await
            .unwrap_err();
        assert!(failure.is_transient(), "{failure:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_does_not_help_is_not_repeated() {
        let mut calls = 0;
        let result = retry(60)
            .call(async || {
                calls += 1;
                Err::<(), _>(Error::not_found("projects/p"))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(calls, 1);
    }
}
