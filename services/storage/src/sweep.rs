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

#[cfg(test)]
mod tests {
    use granary_core::clock::{Clock as _, to_micros};

    use crate::{
        testing::{Bench, large},
        upload::Opened,
    };

    #[tokio::test]
    async fn only_what_expired_is_dropped_with_its_parts() {
        let bench = Bench::start().await;
        let (core, now) = (&bench.core, to_micros(bench.clock.now()));
        let mut rows = vec![large("old", 9 << 20, now), large("renewed", 9 << 20, now)];
        rows[1].expires += 3_600_000_000;
        let mut opened = Vec::new();
        for row in core.store.save(rows).await.unwrap() {
            let Opened::Parts(row, _) = core.open_multipart(row).await.unwrap() else {
                panic!("it is there already")
            };
            opened.push(row);
        }
        bench.clock.advance(time::Duration::seconds(60));
        core.sweep().await.unwrap();
        for (row, kept) in opened.iter().zip([false, true]) {
            assert_eq!(
                core.store.find(&row.name).await.unwrap().is_some(),
                kept,
                "{}",
                row.name
            );
            let parts = core
                .s3
                .list_parts(&row.place, row.multipart.as_deref().unwrap())
                .await
                .unwrap();
            assert_eq!(parts.is_some(), kept, "{}", row.name);
        }
    }
}
