//! `granary serve`: the whole platform in one process, or one service of it.

mod args;
mod compose;
mod data_dir;
mod health;
mod offline;
pub(crate) mod oidc;
mod platform;
mod service;
mod settings;
mod store;
mod values;

use std::io::Write as _;

use granary_core::{Error, Result};
use tokio_util::sync::CancellationToken;

use crate::signals;

pub(crate) use args::Args;
pub use data_dir::DataDir;
pub(crate) use offline::{Offline, Stores};
pub use platform::Platform;
pub use service::{Apart, Service};
pub use settings::{ObjectStoreSettings, Settings};
pub(crate) use values::clock_skew;

/// Runs until SIGTERM or SIGINT, then lets what is in progress end.
pub(crate) async fn run(settings: Settings) -> Result<()> {
    until(signals::stop()?, settings).await
}

async fn until(stop: CancellationToken, settings: Settings) -> Result<()> {
    for warning in [settings.out_of_reach(), settings.without_administrator()]
        .into_iter()
        .flatten()
    {
        tracing::warn!("{warning}");
    }
    // It may wait for its database as long as there is none. Nothing is in progress yet.
    let platform = tokio::select! {
        started = Platform::start(settings) => started?,
        () = stop.cancelled() => return Ok(()),
    };
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use granary_runtime::secret::Secret;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn it_ends_while_it_waits_for_its_database() {
        let folder = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        // Takes connections and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "postgres://granary@{}/granary",
            silent.local_addr().unwrap()
        );
        let settings = Settings {
            listen: any,
            s3_listen: any,
            database_url: Some(Secret::new(url)),
            apart: Some(Apart {
                roles: [Service::Metadata].into(),
                internal_listen: any,
                metadata: Vec::new(),
                storage: Vec::new(),
            }),
            ..Settings::in_folder(folder.path().join("data"))
        };
        let stop = CancellationToken::new();
        // Once it waits.
        let tell = async {
            let connection = silent.accept().await;
            stop.cancel();
            connection
        };
        let ended = async { tokio::join!(until(stop.clone(), settings), tell) };
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        let (ended, connected) = ended.expect("it goes on");
        assert!(ended.is_ok() && connected.is_ok());
    }
}
