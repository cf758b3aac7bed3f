//! What large messages of callers who are not let in yet may take in memory, in all and of one principal.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Principal;

/// What all of them take at most, in bytes.
pub(super) const BUDGET: usize = 64 * 1024 * 1024;
/// What those of one principal take at most, in bytes: whoever sends halves of messages holds up nobody else.
pub(super) const SHARE: usize = BUDGET / 4;

/// The budget of one server.
#[derive(Debug)]
pub(super) struct Budget {
    all: Arc<Semaphore>,
    // Of those who hold or wait for some; who is done is forgotten when the next one comes.
    shares: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

/// The issuer and the subject, or the project: all of its keys share one share.
type Holder = (Arc<str>, Box<str>);

/// Room for one message, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    _share: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(BUDGET)),
            shares: Mutex::default(),
        }
    }
}

impl Budget {
    /// Waits for room for a message of a principal, which has at most as many bytes as a share.
    pub(super) async fn room(&self, principal: &Principal, size: u32) -> Room {
        // Its own share first: who waits for that takes nothing from others.
        let share = self.share(principal).acquire_many_owned(size).await;
        let all = self.all.clone().acquire_many_owned(size).await;
        Room {
            _share: share.ok(),
            _all: all.ok(),
        }
    }

    fn share(&self, principal: &Principal) -> Arc<Semaphore> {
        let name = match principal.home() {
            Some(project) => format!("projects/{project}").into(),
            None => Box::from(&*principal.subject),
        };
        let holder = (principal.issuer.clone(), name);
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(&holder).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(SHARE));
        shares.insert(holder, Arc::downgrade(&share));
        share
    }

    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        self.shares.lock().len()
    }
}
