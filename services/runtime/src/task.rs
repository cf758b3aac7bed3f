//! Tasks with names, which a shutdown ends and waits for.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

/// The tasks of a process or of a part of it.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
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

    /// Cancelled when the tasks should end.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks all tasks to end and waits for them, at most `patience`; says whether all ended.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait())
            .await
            .is_ok()
    }
}
