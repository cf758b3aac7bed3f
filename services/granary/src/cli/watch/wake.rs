//! What the file system reports: which folders below the watched one changed.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
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

    /// Waits for changes; the names of the folders that changed, directly below the watched one.
    pub(super) async fn changed(&self) -> BTreeSet<String> {
        loop {
            let names = std::mem::take(&mut *self.changed.names.lock());
            if !names.is_empty() {
                return names;
            }
            self.changed.news.notified().await;
        }
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
        assert_eq!(wake.changed().await, BTreeSet::from(["one".to_owned()]));
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
