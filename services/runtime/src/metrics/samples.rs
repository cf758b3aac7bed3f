//! Gauges that are read when metrics are asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _, join_all};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::process;

/// How long reading may take: less than Prometheus waits. What is not there by then is told as it was.
const PATIENCE: Duration = Duration::from_secs(3);

type Sample = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What is to be read.
#[derive(Default)]
pub(super) struct Samples {
    all: Mutex<Vec<(u64, Sample)>>,
    next: AtomicU64,
    /// Whoever asks meanwhile waits: however many ask, what is read is read one time after the other.
    reading: AsyncMutex<()>,
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Samples")
    }
}

impl Samples {
    /// Adds one, and says by what it is removed.
    pub(super) fn add<F>(&self, sample: impl Fn() -> F + Send + Sync + 'static) -> u64
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let sample: Sample = Arc::new(move || sample().boxed());
        self.all.lock().push((id, sample));
        id
    }

    pub(super) fn remove(&self, id: u64) {
        self.all.lock().retain(|(of, _)| *of != id);
    }

    /// Reads all of them.
    pub(super) async fn take(&self) {
        let _reading = self.reading.lock().await;
        process::sample();
        let samples: Vec<_> = self.all.lock().iter().map(|(_, s)| s.clone()).collect();
        let each = samples
            .iter()
            .map(|sample| tokio::time::timeout(PATIENCE, sample()));
        let late = join_all(each).await.iter().filter(|r| r.is_err()).count();
        if late > 0 {
            tracing::warn!(late, "some metrics could not be read in time");
        }
    }
}
