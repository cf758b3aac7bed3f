//! The sessions that this process works on, each with the number of the lease under which it holds it.

use std::{collections::HashMap, sync::Arc};

use granary_core::name::SessionName;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::store::works::{Lease, Work};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<HashMap<SessionName, Holding>>);

#[derive(Debug)]
struct Holding {
    number: i64,
    lost: CancellationToken,
}

/// One session is held as long as this lives.
#[derive(Debug)]
pub(super) struct Hold {
    held: Arc<Held>,
    lease: Lease,
    lost: CancellationToken,
}

impl Hold {
    /// Waits until the lease is lost.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // By now the session may be held under another lease.
        self.held.remove(&self.lease);
    }
}

impl Held {
    /// Begins to hold a session. Whoever held it under an earlier lease has lost that: there is no new one before the old one ran out.
    pub(super) fn hold(self: &Arc<Self>, work: &Work) -> Hold {
        let lost = CancellationToken::new();
        let holding = Holding {
            number: work.lease,
            lost: lost.clone(),
        };
        if let Some(before) = self.0.lock().insert(work.session.clone(), holding) {
            before.lost.cancel();
        }
        Hold {
            held: self.clone(),
            lease: (work.session.clone(), work.lease),
            lost,
        }
    }

    /// What is held.
    pub(super) fn leases(&self) -> Vec<Lease> {
        let held = self.0.lock();
        held.iter()
            .map(|(session, holding)| (session.clone(), holding.number))
            .collect()
    }

    /// Tells whoever works under these leases that they are lost.
    pub(super) fn lose<'a>(&self, leases: impl IntoIterator<Item = &'a Lease>) {
        for lease in leases {
            if let Some(holding) = self.remove(lease) {
                holding.lost.cancel();
            }
        }
    }

    fn remove(&self, (session, number): &Lease) -> Option<Holding> {
        let mut held = self.0.lock();
        if held.get(session)?.number != *number {
            return None;
        }
        held.remove(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::works::Tries;

    fn work(lease: i64) -> Work {
        Work {
            trace: None,
            session: SessionName::new("p", "raw", "s").unwrap(),
            lease,
            tries: Tries::default(),
        }
    }

    #[test]
    fn a_new_lease_ends_the_work_under_the_one_before_and_outlives_it() {
        let held = Arc::<Held>::default();
        let first = held.hold(&work(1));
        let second = held.hold(&work(2));
        assert!(first.lost.is_cancelled());
        // The first one ends only now: what is there is not what it had.
        drop(first);
        assert_eq!(held.leases(), [(work(2).session, 2)]);
        assert!(!second.lost.is_cancelled());
        drop(second);
        assert_eq!(held.leases(), []);
    }

    #[test]
    fn only_the_lease_that_was_lost_is_lost() {
        let held = Arc::<Held>::default();
        let hold = held.hold(&work(2));
        held.lose(&[(work(1).session, 1)]);
        assert!(!hold.lost.is_cancelled());
        held.lose(&[(work(2).session, 2)]);
        assert!(hold.lost.is_cancelled());
        assert_eq!(held.leases(), []);
    }
}
