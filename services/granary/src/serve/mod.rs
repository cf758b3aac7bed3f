//! `granary serve`: the whole platform in one process, or one service of it.

mod args;
mod compose;
mod data_dir;
mod health;
pub(crate) mod oidc;
mod platform;
mod service;
mod settings;
mod store;
mod values;

use std::io::Write as _;

use granary_core::{Error, Result};

use crate::signals;

pub(crate) use args::Args;
pub use data_dir::DataDir;
pub use platform::Platform;
pub use service::{Apart, Service};
pub use settings::{ObjectStoreSettings, Settings};
pub(crate) use values::clock_skew;

/// Runs until SIGTERM or SIGINT, then lets what is in progress end.
pub(crate) async fn run(settings: Settings) -> Result<()> {
    let stop = signals::stop()?;
    for warning in [settings.out_of_reach(), settings.without_administrator()]
        .into_iter()
        .flatten()
    {
        tracing::warn!("{warning}");
    }
    let platform = Platform::start(settings).await?;
    announce(&platform)?;
    stop.cancelled().await;
    tracing::info!("stopping: calls in progress may end");
    platform.stop().await;
    Ok(())
}

// What scripts wait for: one line, once calls are answered.
fn announce(platform: &Platform) -> Result<()> {
    let token = platform.token_file();
    let token = token.map(|file| file.display().to_string());
    tracing::info!(
        endpoint = %format_args!("http://{}", platform.address()),
        objects = %platform.object_endpoint(),
        token,
        "serving"
    );
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")
        .and_then(|()| out.flush())
        .map_err(|error| Error::internal("writing to standard output", error))
}
