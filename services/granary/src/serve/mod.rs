//! `granary serve`: the whole platform in one process.

mod args;
mod data_dir;
mod health;
mod platform;
mod store;

use std::io::Write as _;

use granary_core::{Error, Result};
use granary_runtime::telemetry;

pub use args::{Args, ObjectStoreSettings, Settings};
pub use data_dir::DataDir;
pub use platform::Platform;

/// Runs until SIGTERM or SIGINT, then lets what is in progress end.
pub async fn run(args: Args) -> Result<()> {
    let settings = args.settle()?;
    telemetry::init(&settings.log, settings.log_format)
        .map_err(|error| Error::invalid("log", error))?;
    let signal = signals()?;
    let platform = Platform::start(settings).await?;
    announce(&platform)?;
    signal.await;
    tracing::info!("stopping: calls in progress may end");
    platform.stop().await;
    Ok(())
}

// What scripts wait for: one line, once calls are answered.
fn announce(platform: &Platform) -> Result<()> {
    tracing::info!(
        endpoint = %format_args!("http://{}", platform.address()),
        objects = %platform.object_endpoint(),
        token = %platform.token_file().display(),
        "serving"
    );
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")
        .and_then(|()| out.flush())
        .map_err(|error| Error::internal("writing to standard output", error))
}

fn signals() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen =
        |kind| signal(kind).map_err(|error| Error::internal("listening for signals", error));
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
