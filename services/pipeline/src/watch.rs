//! Telling those who watch a run that it has changed.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Runs that somebody watches in this process, by id.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<HashMap<String, watch::Sender<()>>>);

impl Watchers {
    /// Hears of changes of a run from now on.
    pub(crate) fn watch(&self, run: &str) -> watch::Receiver<()> {
        let mut watched = self.0.lock();
        watched.retain(|_, sender| sender.receiver_count() > 0);
        watched
            .entry(run.to_owned())
            .or_insert_with(|| watch::channel(()).0)
            .subscribe()
    }

    /// Some runs have changed.
    pub(crate) fn changed(&self, runs: &[String]) {
        let watched = self.0.lock();
        for run in runs {
            if let Some(sender) = watched.get(run) {
                sender.send_replace(());
            }
        }
    }
}
