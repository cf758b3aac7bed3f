//! Batching: concurrent calls share one piece of work, such as a transaction or a statement.
//!
//! While one batch is worked on, the next one gathers: under load batches grow by themselves, and a lone call waits for nobody.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use granary_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use crate::{
    metrics::{self, Histogram, histogram, names},
    task::Tasks,
};

/// How long one batch may take: a database that is gone without a word must not hold up all that come after.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much is put together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most calls in one batch.
    pub batch: usize,
    /// The most calls that wait; more fail at once with [`Error::Exhausted`].
    pub queue: usize,
    /// The most batches that are worked on at the same time. More than one is for work that only reads: batches may overtake each other.
    pub parallel: usize,
}

impl Limits {
    /// For reading: a second batch starts while the first one is at the database, so that neither side waits for the other.
    pub const READS: Self = Self {
        batch: 256,
        queue: 4096,
        parallel: 2,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: 256,
            queue: 4096,
            parallel: 1,
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
    /// Starts a batcher. `name` is that of its service and what it does, such as `metadata: read assets`. `work` gets 1 to `limits.batch` items and returns a result for each, in order, or one error for all of them.
    pub fn start<F, W>(tasks: &Tasks, name: &'static str, limits: Limits, work: F) -> Self
    where
        F: Fn(Vec<I>) -> W + Send + 'static,
        W: Future<Output = Result<Vec<Result<O>>>> + Send,
    {
        let (queue, mut waiting) = mpsc::channel::<Waiting<I, O>>(limits.queue);
        let measures = Measures::of(name);
        tasks.spawn_for_callers(name, async move {
            let mut calls = Vec::with_capacity(limits.batch);
            let mut working = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some(()) = working.next() => continue,
                    received = waiting.recv_many(&mut calls, limits.batch), if working.len() < limits.parallel => {
                        if received == 0 {
                            break;
                        }
                    }
                }
                // Whoever is just about to call comes along: under load this makes batches larger, and a lone call does not feel it.
                tokio::task::yield_now().await;
                while calls.len() < limits.batch
                    && let Ok(call) = waiting.try_recv()
                {
                    calls.push(call);
                }
                let (items, callers): (Vec<_>, Vec<_>) = calls.drain(..).unzip();
                let begun = catch_unwind(AssertUnwindSafe(|| work(items)));
                let measured = measures.measure(callers.len(), end(name, begun));
                working.push(async move { answer(callers, measured.await) });
            }
            while working.next().await.is_some() {}
        });
        Self { queue, name }
    }

    /// Has one item worked on, together with what others ask for at the same time.
    pub async fn call(&self, item: I) -> Result<O> {
        let (caller, answer) = oneshot::channel();
        self.queue
            .try_send((item, caller))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    metrics::refused("rate");
                    full(self.name)
                }
                mpsc::error::TrySendError::Closed(_) => stopped(self.name),
            })?;
        answer.await.unwrap_or_else(|_| Err(stopped(self.name)))
    }
}

/// The end of a batch. A defect that one batch meets must not take the batcher from all later ones.
async fn end<O>(
    name: &'static str,
    begun: thread::Result<impl Future<Output = Result<Vec<Result<O>>>>>,
) -> Result<Vec<Result<O>>> {
    let done = match begun {
        Ok(work) => {
            let work = AssertUnwindSafe(work).catch_unwind();
            match tokio::time::timeout(PATIENCE, work).await {
                Ok(done) => done,
                Err(_) => return Err(slow(name)),
            }
        }
        Err(panic) => Err(panic),
    };
    done.unwrap_or_else(|_| Err(panicked(name)))
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

/// How large batches are and how long they take.
struct Measures {
    size: Histogram,
    seconds: Histogram,
}

impl Measures {
    fn of(name: &'static str) -> Self {
        let (service, what) = name.split_once(": ").unwrap_or((name, name));
        Self {
            size: histogram!(names::DB_BATCH_SIZE, "service" => service, "batch" => what),
            seconds: histogram!(names::DB_BATCH_SECONDS, "service" => service, "batch" => what),
        }
    }

    fn measure<W: Future>(&self, size: usize, work: W) -> impl Future<Output = W::Output> + use<W> {
        self.size.record(u32::try_from(size).unwrap_or(u32::MAX));
        let (seconds, begun) = (self.seconds.clone(), Instant::now());
        async move {
            let done = work.await;
            seconds.record(begun.elapsed());
            done
        }
    }
}

fn full(name: &str) -> Error {
    Error::Exhausted {
        reason: format!("too many calls wait ({name}): try again later"),
        retry_after: Some(Duration::from_secs(1)),
        quota_of: None,
    }
}

fn panicked(name: &'static str) -> Error {
    tracing::error!(name, "a batch panicked");
    Error::Internal {
        context: format!("working on a batch ({name})"),
        cause: None,
    }
}

fn slow(name: &'static str) -> Error {
    tracing::error!(name, "a batch was given up: it took too long");
    Error::Unavailable {
        reason: format!("that took too long ({name}): try again"),
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

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_never_ends_holds_up_nobody_for_long() {
        let batcher = Batcher::start(
            &Tasks::new(),
            "test",
            Limits::default(),
            |items: Vec<bool>| async move {
                if items.contains(&true) {
                    std::future::pending::<()>().await;
                }
                Ok(items.into_iter().map(Ok).collect())
            },
        );
        let error = batcher.call(true).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(!batcher.call(false).await.unwrap());
    }

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
    async fn readers_do_not_wait_for_the_batch_before() {
        let tasks = Tasks::new();
        let (first, held) = oneshot::channel::<()>();
        let held = parking_lot::Mutex::new(Some(held));
        let batcher: Batcher<u32, u32> =
            Batcher::start(&tasks, "test", Limits::READS, move |items: Vec<u32>| {
                let held = held.lock().take();
                async move {
                    if let Some(held) = held {
                        let _ = held.await;
                    }
                    Ok(items.into_iter().map(Ok).collect())
                }
            });
        let slow = batcher.call(1);
        tokio::pin!(slow);
        assert!(futures::poll!(&mut slow).is_pending());
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(batcher.call(2).await.unwrap(), 2);
        assert!(futures::poll!(&mut slow).is_pending());
        drop(first);
        assert_eq!(slow.await.unwrap(), 1);
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
        let batcher: Batcher<u32, u32> = Batcher::start(
            &tasks,
            "test",
            Limits {
                batch: 1,
                queue: 1,
                parallel: 1,
            },
            move |_| {
                began.try_send(()).unwrap();
                futures::future::pending()
            },
        );
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
