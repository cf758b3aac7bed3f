//! Whether the store can be reached: calls ask before they promise anything, and one task finds out when it is back.

use std::sync::atomic::{AtomicBool, Ordering};

use granary_core::{Error, Result};
use tokio::sync::Notify;

/// Starts as not reached.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    up: AtomicBool,
    lost: Notify,
}

impl Reach {
    /// Fails while the store cannot be reached.
    pub(crate) fn check(&self) -> Result<()> {
        if self.up.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::Unavailable {
            reason: "the object store cannot be reached: try again, and see that it runs".into(),
            cause: None,
        })
    }

    /// The store answered.
    pub(crate) fn found(&self) {
        if !self.up.swap(true, Ordering::AcqRel) {
            tracing::info!("the object store answers");
        }
    }

    /// The store did not answer.
    pub(crate) fn lose(&self) {
        if self.up.swap(false, Ordering::AcqRel) {
            tracing::warn!("the object store cannot be reached");
        }
        self.lost.notify_one();
    }

    /// Waits until the store is lost.
    pub(crate) async fn lost(&self) {
        while self.up.load(Ordering::Acquire) {
            self.lost.notified().await;
        }
    }
}
