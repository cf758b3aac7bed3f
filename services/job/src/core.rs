//! What all parts of the service share.

use std::time::Duration;

use granary_core::clock::{self, SharedClock};
use granary_runtime::db::Db;
use tokio_util::sync::CancellationToken;

use crate::{catalog::Definitions, hub::Hub, usage::Usage};

/// What all parts of the service share.
pub(crate) struct Core {
    pub db: Db,
    pub clock: SharedClock,
    /// How long a worker holds a job without a word.
    pub lease: Duration,
    pub hub: Hub,
    pub definitions: Definitions,
    pub usage: Usage,
    /// Cancelled when the server ends, so that nobody goes on waiting.
    pub stopping: CancellationToken,
}

impl Core {
    /// Now, as it is stored.
    pub(crate) fn now(&self) -> i64 {
        clock::to_micros(self.clock.now())
    }

    /// The lease, as it is stored.
    pub(crate) fn lease_micros(&self) -> i64 {
        micros(self.lease)
    }
}

/// A duration as it is stored.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
