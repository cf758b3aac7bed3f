//! A `granary serve` of its own, as a process.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use granary_runtime::{Link, auth::TokenSource};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::wire::Wire;

/// A server that ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    endpoint: String,
}

impl Server {
    /// Starts one in a folder of its own and waits until it is ready.
    pub(crate) async fn start(flags: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(flags, &[]).await
    }

    /// The same, with environment variables.
    pub(crate) async fn start_with(flags: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(".")?;
        let (grpc, s3) = (free_port()?, free_port()?);
        let mut child = Command::new(program()?)
            .args(["serve", "--log", "warn", "--data-dir"])
            .arg(folder.path().join("data"))
            .args([
                "--listen",
                &format!("127.0.0.1:{grpc}"),
                "--s3-listen",
                &format!("127.0.0.1:{s3}"),
            ])
            .args(flags)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let ready = tokio::task::spawn_blocking(move || BufReader::new(out).lines().next()).await?;
        anyhow::ensure!(
            matches!(ready, Some(Ok(line)) if line == "ready"),
            "the server did not start"
        );
        Ok(Self {
            child,
            folder,
            endpoint: format!("http://127.0.0.1:{grpc}"),
        })
    }

    /// A connection of its own, as the local administrator.
    pub(crate) async fn connect(&self) -> anyhow::Result<Link> {
        self.connect_as(&self.token()?).await
    }

    /// A connection of its own, with this token.
    pub(crate) async fn connect_as(&self, token: &str) -> anyhow::Result<Link> {
        let channel = Endpoint::from_shared(self.endpoint.clone())?
            .tcp_nodelay(true)
            .connect()
            .await?;
        Ok(Link::remote(channel, TokenSource::fixed(token)?))
    }

    /// Many connections for load, as the local administrator.
    pub(crate) async fn wires(&self, count: usize) -> anyhow::Result<Vec<Wire>> {
        let token = self.token()?;
        futures::future::try_join_all((0..count).map(|_| Wire::connect(&self.endpoint, &token)))
            .await
    }

    /// The local administrator's token.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        Ok(
            std::fs::read_to_string(self.folder.path().join("data/token"))?
                .trim()
                .to_owned(),
        )
    }

    /// Where it answers.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A folder that goes with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Memory in use now, in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        self.status("VmRSS:")
    }

    /// The most memory that was in use, in MiB.
    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .context("no such field")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The granary program beside this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("granary"))
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
