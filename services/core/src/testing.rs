//! For tests of how much work something is.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time that this thread has had so far: unlike the time of day, it does not pass while others work.
pub(crate) fn worked() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .unwrap_or_default()
}
