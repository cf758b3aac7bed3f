//! Ending on SIGINT and SIGTERM, in order.

use granary_core::{Error, Result};
use granary_runtime::task::Tasks;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled at the first of these signals.
pub(crate) fn stop() -> Result<CancellationToken> {
    let listen =
        |kind| signal(kind).map_err(|error| Error::internal("listening for signals", error));
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    Tasks::new().spawn("signals", async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancel.cancel();
    });
    Ok(stop)
}
