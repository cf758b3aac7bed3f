//! The attempts that are under way, and what was seen of each.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::seen::Seen;

/// The attempts that are under way, by the names of their objects.
#[derive(Debug, Default)]
pub(crate) struct Fleet(Mutex<BTreeMap<String, watch::Sender<Seen>>>);

impl Fleet {
    /// Begins to take note of what is seen of an attempt; nothing if that is done already.
    pub(crate) fn add(&self, object: &str, seen: Seen) -> Option<watch::Receiver<Seen>> {
        let mut all = self.0.lock();
        if all.contains_key(object) {
            return None;
        }
        let (sender, receiver) = watch::channel(seen);
        all.insert(object.to_owned(), sender);
        Some(receiver)
    }

    /// Ends it.
    pub(crate) fn remove(&self, object: &str) {
        self.0.lock().remove(object);
    }

    /// Takes note of what was seen.
    pub(crate) fn note(&self, object: &str, change: impl FnOnce(&mut Seen)) {
        if let Some(sender) = self.0.lock().get(object) {
            sender.send_modify(change);
        }
    }

    /// Takes note of what was not seen in a list of all there are.
    pub(crate) fn note_absent(&self, listed: &BTreeSet<String>, change: impl Fn(&mut Seen)) {
        for (object, sender) in self.0.lock().iter() {
            if !listed.contains(object) {
                sender.send_modify(&change);
            }
        }
    }
}
