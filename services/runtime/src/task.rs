//! Tasks with names, which a shutdown ends and waits for.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

/// How long those that end last have: for a word to others, which they can do without.
const LAST: Duration = Duration::from_secs(1);

/// The tasks of a process or of a part of it.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    last: TaskTracker,
    ended: CancellationToken,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. It should end soon after [`Tasks::stopping`] is cancelled. A panic in it is logged by name.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let span = tracing::info_span!("task", name);
        #[allow(
            clippy::disallowed_methods,
            reason = "this is the function that stands in for it"
        )]
        self.tracker.spawn(
            async move {
                match futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(task)).await {
                    Ok(output) => Some(output),
                    Err(_) => {
                        tracing::error!(name, "task panicked");
                        None
                    }
                }
            }
            .instrument(span),
        )
    }

    /// Starts a task that ends with its callers: nothing has to wait for it, since they do.
    pub fn spawn_for_callers<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        #[allow(
            clippy::disallowed_methods,
            reason = "this is the function that stands in for it"
        )]
        tokio::spawn(task.instrument(tracing::info_span!("task", name)));
    }

    /// Starts a task that the others need until they have ended. It should end soon after what it is given is cancelled.
    pub fn spawn_last<F, W>(&self, name: &'static str, task: F)
    where
        F: FnOnce(CancellationToken) -> W,
        W: Future<Output = ()> + Send + 'static,
    {
        let task = task(self.ended.clone());
        #[allow(
            clippy::disallowed_methods,
            reason = "this is the function that stands in for it"
        )]
        self.last
            .spawn(task.instrument(tracing::info_span!("task", name)));
    }

    /// Cancelled when the tasks should end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks all tasks to end and waits for them, at most `patience` and a second for those that end last; says whether all ended.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(patience, self.tracker.wait()).await;
        self.ended.cancel();
        self.last.close();
        let last = tokio::time::timeout(LAST, self.last.wait()).await;
        ended.is_ok() && last.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_others_need_ends_after_them_and_is_waited_for() {
        let (tasks, (said, mut heard)) = (Tasks::new(), tokio::sync::mpsc::channel(16));
        let (last, stop) = (said.clone(), tasks.stopping());
        tasks.spawn_last("last", |ended| async move {
            ended.cancelled().await;
            tokio::task::yield_now().await;
            last.try_send("last").unwrap();
        });
        tasks.spawn("first", async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            said.try_send("first").unwrap();
        });
        assert!(tasks.drain(Duration::from_secs(5)).await);
        assert_eq!(heard.try_recv(), Ok("first"));
        assert_eq!(heard.try_recv(), Ok("last"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_not_waited_for_without_end() {
        let tasks = Tasks::new();
        tasks.spawn_last("last", |_| std::future::pending());
        assert!(!tasks.drain(Duration::from_secs(5)).await);
    }
}
