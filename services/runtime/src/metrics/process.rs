//! The process itself: processor time, memory, files.

use metrics_process::Collector;

/// Says what these metrics mean.
pub(super) fn describe() {
    Collector::default().describe();
}

/// Reads them.
pub(super) fn sample() {
    Collector::default().collect();
}
