//! Gathering what comes close together.

use std::time::Duration;

use futures::Stream;
use tokio_stream::StreamExt as _;

/// Batches of up to `size` items; the first of a batch waits at most `wait` for the others.
pub(crate) fn batches<T>(
    items: impl Stream<Item = T>,
    size: usize,
    wait: Duration,
) -> impl Stream<Item = Vec<T>> {
    items.chunks_timeout(size, wait)
}
