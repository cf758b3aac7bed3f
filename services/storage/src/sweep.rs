//! Uploads that nobody went on with: their parts are dropped after a week, so that they do not fill the store for ever.
//!
//! The asset stays pending. Whoever goes on with the upload after all begins it anew.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use granary_core::{Result, clock::to_micros};
use granary_runtime::task::Tasks;

use crate::{Core, store::Row};

const EVERY: Duration = Duration::from_secs(3600);
const BATCH: u32 = 500;

/// Starts the sweep.
pub(crate) fn start(tasks: &Tasks, core: std::sync::Arc<Core>) {
    let stop = tasks.stopping();
    tasks.spawn("upload sweep", async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = core.sweep().await {
                tracing::warn!(%error, "expired uploads could not be swept: the next sweep tries again");
            }
        }
    });
}

impl Core {
    /// Drops what expired. Parts go first: after a crash in between, the row is still there to find them gone.
    pub(crate) async fn sweep(&self) -> Result<()> {
        loop {
            let now = to_micros(self.clock.now());
            let expired = self.store.expired(now, BATCH).await?;
            let aborts: Vec<_> = expired.iter().map(|row| self.abort(row)).collect();
            for result in stream::iter(aborts)
                .buffer_unordered(8)
                .collect::<Vec<_>>()
                .await
            {
                result?;
            }
            let names: Vec<_> = expired.iter().map(|row| row.name.clone()).collect();
            self.store.forget(&names, now).await?;
            if expired.len() < BATCH as usize {
                return Ok(());
            }
        }
    }

    async fn abort(&self, row: &Row) -> Result<()> {
        match &row.multipart {
            Some(id) => self.s3.abort(&row.place, id).await,
            None => Ok(()),
        }
    }
}
