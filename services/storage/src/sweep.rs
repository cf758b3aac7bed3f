//! Uploads that nobody went on with: their parts are dropped after a week, so that they do not fill the store for ever.
//!
//! The asset stays pending. Whoever goes on with the upload after all begins it anew.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use granary_core::{Result, clock::to_micros, name::UploadName};
use granary_runtime::task::Tasks;
use tokio::time::MissedTickBehavior;

use crate::{Core, store::Row};

const EVERY: Duration = Duration::from_secs(3600);
const BATCH: u32 = 500;

/// Starts the sweep.
pub(crate) fn start(tasks: &Tasks, core: std::sync::Arc<Core>) {
    let stop = tasks.stopping();
    tasks.spawn("upload sweep", async move {
        // The first tick is at once: a server that is never up for an hour sweeps too.
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let swept = tokio::select! {
                () = stop.cancelled() => return,
                swept = core.sweep() => swept,
            };
            if let Err(error) = swept {
                tracing::warn!(%error, "expired uploads could not be swept: the next sweep tries again");
            }
        }
    });
}

impl Core {
    /// Drops what expired. Parts go first: after a crash in between, the row is still there to find them gone. What cannot be dropped is
    /// passed over, and tried again by the next sweep.
    pub(crate) async fn sweep(&self) -> Result<()> {
        self.sweep_in(BATCH).await
    }

    async fn sweep_in(&self, batch: u32) -> Result<()> {
        let now = to_micros(self.clock.now());
        let mut last = None;
        loop {
            let expired = self.store.expired(now, last.as_ref(), batch).await?;
            let aborts: Vec<_> = expired.iter().map(|row| self.abort(row)).collect();
            let dropped: Vec<_> = stream::iter(aborts)
                .buffer_unordered(8)
                .filter_map(futures::future::ready)
                .collect()
                .await;
            self.store.forget(&dropped, now).await?;
            if expired.len() < batch as usize {
                return Ok(());
            }
            last = expired.into_iter().last();
        }
    }

    /// The upload's name, if nothing is left of it in the store.
    async fn abort(&self, row: &Row) -> Option<UploadName> {
        for id in row.multipart.iter().chain(&row.replaced) {
            if let Err(error) = self.s3.abort(&row.place, id).await {
                tracing::warn!(%error, upload = %row.name, "an expired upload could not be dropped: the next sweep tries again");
                return None;
            }
        }
        Some(row.name.clone())
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
    async fn what_cannot_be_dropped_does_not_keep_the_rest() {
        let bench = Bench::start().await;
        let (core, now) = (&bench.core, to_micros(bench.clock.now()));
        let mut rows: Vec<_> = (0..5)
            .map(|i| large(&format!("u{i}"), 9 << 20, now + i))
            .collect();
        for row in &mut rows {
            row.multipart = Some("long gone".into());
        }
        // The store takes no such keys.
        rows[0].place.key = "p//x".into();
        rows[1].place.key = "p//y".into();
        core.store.save(rows.clone()).await.unwrap();
        bench.clock.advance(time::Duration::seconds(60));
        core.sweep_in(2).await.unwrap();
        for (row, kept) in rows.iter().zip([true, true, false, false, false]) {
            let found = core.store.find(&row.name).await.unwrap();
            assert_eq!(found.is_some(), kept, "{}", row.name);
        }
    }

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
