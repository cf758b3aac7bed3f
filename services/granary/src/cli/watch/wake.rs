//! What the file system reports: which folders below the watched one changed.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use granary_core::{Error, Result};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Tells when something changed. Not all file systems report changes: who waits for it looks now and then as well.
#[derive(Debug)]
pub(super) struct Wake {
    changed: Arc<Changed>,
    _watcher: Option<RecommendedWatcher>,
}

#[derive(Debug, Default)]
struct Changed {
    // At most one entry for each folder below the watched one.
    names: Mutex<BTreeSet<String>>,
    news: Notify,
}

impl Wake {
    /// Watches a folder.
    pub(super) fn on(folder: &Path) -> Result<Self> {
        let whole = folder
            .canonicalize()
            .map_err(|error| Error::invalid("", crate::human::io_error(&error)))?;
        if !whole.is_dir() {
            return Err(Error::invalid("", "is no folder"));
        }
        let changed = Arc::new(Changed::default());
        let (noted, root) = (changed.clone(), whole.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            noted.note(&root, event)
        });
        let watching = watcher.and_then(|mut watcher| {
            watcher
                .watch(&whole, RecursiveMode::Recursive)
                .map(|()| watcher)
        });
        if let Err(error) = &watching {
            tracing::warn!(%error, "the file system reports no changes: looking once a minute");
        }
        Ok(Self {
            changed,
            _watcher: watching.ok(),
        })
    }

    /// Waits for a change, and goes on to gather for a while: one write is seldom alone, and each look reads whole folders. The names of the
    /// folders that changed, directly below the watched one. Dropped before its end, it forgets nothing.
    pub(super) async fn changed(&self, gather: Duration) -> BTreeSet<String> {
        while self.changed.names.lock().is_empty() {
            self.changed.news.notified().await;
        }
        tokio::time::sleep(gather).await;
        std::mem::take(&mut *self.changed.names.lock())
    }
}

impl Changed {
    fn note(&self, root: &Path, event: notify::Result<Event>) {
        let Ok(event) = event else { return };
        if event.kind.is_access() {
            return;
        }
        let first = |path: &PathBuf| {
            Some(
                path.strip_prefix(root)
                    .ok()?
                    .components()
                    .next()?
                    .as_os_str()
                    .to_str()?
                    .to_owned(),
            )
        };
        let names: Vec<String> = event.paths.iter().filter_map(first).collect();
        if !names.is_empty() {
            self.names.lock().extend(names);
            self.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_deep_below_names_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("one/deep")).unwrap();
        let wake = Wake::on(folder.path()).unwrap();
        std::fs::write(folder.path().join("one/deep/a"), "x").unwrap();
        assert_eq!(
            wake.changed(Duration::ZERO).await,
            BTreeSet::from(["one".to_owned()])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_follow_each_other_are_one() {
        let wake = Wake {
            changed: Arc::default(),
            _watcher: None,
        };
        let write = |path: &str| {
            let event = Event::new(notify::EventKind::Any).add_path(path.into());
            wake.changed.note(Path::new("/in"), Ok(event));
        };
        let writes = async {
            for path in ["/in/one/a", "/in/one/b", "/in/two/a"] {
                write(path);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let (changed, ()) = tokio::join!(wake.changed(Duration::from_millis(500)), writes);
        assert_eq!(changed, BTreeSet::from(["one".into(), "two".into()]));
        write("/in/three/a");
        let next = wake.changed(Duration::from_millis(500)).await;
        assert_eq!(next, BTreeSet::from(["three".into()]));
    }

    #[test]
    fn only_a_folder_can_be_watched() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            Wake::on(&folder.path().join("none"))
                .unwrap_err()
                .to_string()
                .contains("not found")
        );
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(Wake::on(&file).unwrap_err().to_string(), "is no folder");
    }
}
