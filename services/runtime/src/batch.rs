//! Batching: concurrent calls share one piece of work, such as a transaction or a statement.
//!
//! While one batch is worked on, the next one gathers: under load batches grow by themselves, and a lone call waits for nobody.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures::FutureExt as _;
use granary_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use crate::task::Tasks;

/// How much is put together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most calls in one batch.
    pub batch: usize,
    /// The most calls that wait; more fail at once with [`Error::Exhausted`].
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: 256,
            queue: 4096,
        }
    }
}

type Waiting<I, O> = (I, oneshot::Sender<Result<O>>);

/// Gathers concurrent calls into batches.
#[derive(Debug)]
pub struct Batcher<I, O> {
    queue: mpsc::Sender<Waiting<I, O>>,
    name: &'static str,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            name: self.name,
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts a batcher. `work` gets 1 to `limits.batch` items and returns a result for each, in order, or one error for all of them.
    pub fn start<F, W>(tasks: &Tasks, name: &'static str, limits: Limits, work: F) -> Self
    where
        F: Fn(Vec<I>) -> W + Send + 'static,
        W: Future<Output = Result<Vec<Result<O>>>> + Send,
    {
        let (queue, mut waiting) = mpsc::channel::<Waiting<I, O>>(limits.queue);
        tasks.spawn_for_callers(name, async move {
            let mut calls = Vec::with_capacity(limits.batch);
            while waiting.recv_many(&mut calls, limits.batch).await > 0 {
                // Whoever is just about to call comes along: under load this makes batches larger, and a lone call does not feel it.
                tokio::task::yield_now().await;
                while calls.len() < limits.batch
                    && let Ok(call) = waiting.try_recv()
                {
                    calls.push(call);
                }
                let (items, callers): (Vec<_>, Vec<_>) = calls.drain(..).unzip();
                // A defect that one batch meets must not take the batcher from all later ones.
                let done = match catch_unwind(AssertUnwindSafe(|| work(items))) {
                    Ok(done) => AssertUnwindSafe(done).catch_unwind().await,
                    Err(panic) => Err(panic),
                };
                answer(callers, done.unwrap_or_else(|_| Err(panicked(name))));
            }
        });
        Self { queue, name }
    }

    /// Has one item worked on, together with what others ask for at the same time.
    pub async fn call(&self, item: I) -> Result<O> {
        let (caller, answer) = oneshot::channel();
        self.queue
            .try_send((item, caller))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::Exhausted {
                    reason: format!("too many calls wait ({}): try again later", self.name),
                    retry_after: Some(std::time::Duration::from_secs(1)),
                },
                mpsc::error::TrySendError::Closed(_) => stopped(self.name),
            })?;
        answer.await.unwrap_or_else(|_| Err(stopped(self.name)))
    }
}

fn answer<O>(callers: Vec<oneshot::Sender<Result<O>>>, results: Result<Vec<Result<O>>>) {
    match results {
        Ok(results) => {
            debug_assert_eq!(results.len(), callers.len(), "a result for each item");
            for (caller, result) in callers.into_iter().zip(results) {
                let _ = caller.send(result);
            }
        }
        Err(error) => {
            for caller in callers {
                let _ = caller.send(Err(error.clone()));
            }
        }
    }
}

fn panicked(name: &'static str) -> Error {
    tracing::error!(name, "a batch panicked");
    Error::Internal {
        context: format!("working on a batch ({name})"),
        cause: None,
    }
}

fn stopped(name: &str) -> Error {
    Error::Unavailable {
        reason: format!("the server stops ({name}): try again"),
        cause: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn concurrent_calls_share_batches_and_each_gets_its_own_result() {
        let tasks = Tasks::new();
        let (sizes, mut seen) = mpsc::channel(100);
        let batcher = Batcher::start(&tasks, "test", Limits::default(), move |items: Vec<u32>| {
            sizes.try_send(items.len()).unwrap();
            async move {
                tokio::task::yield_now().await;
                Ok(items
                    .into_iter()
                    .map(|i| {
                        if i == 7 {
                            Err(Error::not_found("seven"))
                        } else {
                            Ok(i * 2)
                        }
                    })
                    .collect())
            }
        });
        let calls = (0..100).map(|i| {
            let batcher = batcher.clone();
            async move { batcher.call(i).await }
        });
        let results = futures::future::join_all(calls).await;
        for (i, result) in results.into_iter().enumerate() {
            match i {
                7 => assert!(matches!(result, Err(Error::NotFound { .. }))),
                i => assert_eq!(result.unwrap(), u32::try_from(i).unwrap() * 2),
            }
        }
        assert!(
            seen.recv().await.unwrap() > 1,
            "calls did not share a batch"
        );
    }

    #[tokio::test]
    async fn a_failed_batch_fails_each_call() {
        let tasks = Tasks::new();
        let batcher: Batcher<u32, u32> =
            Batcher::start(&tasks, "test", Limits::default(), |_| async {
                Err(Error::not_found("all"))
            });
        assert!(matches!(batcher.call(1).await, Err(Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn a_batch_that_panics_fails_its_calls_and_no_later_ones() {
        let tasks = Tasks::new();
        let batcher: Batcher<u32, u32> =
            Batcher::start(&tasks, "test", Limits::default(), |items: Vec<u32>| {
                assert!(items != [1], "before it is awaited");
                async move {
                    tokio::task::yield_now().await;
                    assert!(items != [2], "while it is awaited");
                    Ok(items.into_iter().map(Ok).collect())
                }
            });
        for defect in [1, 2] {
            let failed = batcher.call(defect).await;
            assert!(matches!(failed, Err(Error::Internal { .. })), "{failed:?}");
            assert_eq!(batcher.call(3).await.unwrap(), 3);
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let tasks = Tasks::new();
        let (began, mut working) = mpsc::channel(1);
        let batcher: Batcher<u32, u32> =
            Batcher::start(&tasks, "test", Limits { batch: 1, queue: 1 }, move |_| {
                began.try_send(()).unwrap();
                futures::future::pending()
            });
        let (worked_on, waits, refused) = (batcher.call(1), batcher.call(2), batcher.call(3));
        tokio::pin!(worked_on, waits, refused);
        assert!(futures::poll!(&mut worked_on).is_pending());
        working.recv().await.unwrap();
        assert!(futures::poll!(&mut waits).is_pending());
        let verdict = futures::poll!(&mut refused);
        assert!(matches!(
            verdict,
            std::task::Poll::Ready(Err(Error::Exhausted { .. }))
        ));
    }
}
