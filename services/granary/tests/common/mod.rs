//! The real command against a real `granary serve`, in folders and on ports of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "helpers of tests: what goes wrong here is the end of the test, and not every test uses all of them"
)]

use std::{
    ffi::OsStr,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GRANARY_") {
            command.env_remove(name);
        }
    }
    // No settings of whoever runs the tests, and nothing kept for the next command.
    command
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("XDG_CACHE_HOME", "/dev/null");
    command
}

/// A server, and the command as its local administrator.
pub(crate) struct World {
    folder: TempDir,
    ports: [u16; 2],
    flags: Vec<String>,
    /// What else the server finds in its environment.
    pub(crate) env: Vec<(String, String)>,
    server: Option<Child>,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// Fails unless it ended with this code and said this on standard error.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, said: &str) -> Self {
        assert!(
            self.code == code && self.stderr.contains(said),
            "expected {code} and {said:?}: {self:#?}"
        );
        assert!(
            !self.stderr.contains("X-Amz-Signature") && !self.stderr.contains("panicked"),
            "{self:#?}"
        );
        self
    }
}

/// A port that nothing listens on, and that this process has not been given before: it is used only later, and again after a restart. Below where
/// the kernel takes ports for calls.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Processes that run side by side, with ids one after the other, begin apart.
    let first = u64::from(std::process::id()) * 61;
    loop {
        let next = first + u64::from(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + next % 10_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| Vec::new()).await
    }

    /// With more flags, which may depend on the ports of gRPC and of the store.
    pub(crate) async fn start_with(flags: impl FnOnce([u16; 2]) -> Vec<String>) -> Self {
        let ports = [free_port(), free_port()];
        let mut world = Self {
            folder: tempfile::tempdir().unwrap(),
            ports,
            flags: flags(ports),
            env: Vec::new(),
            server: None,
        };
        world.start_server().await;
        world
    }

    /// With more in the environment.
    pub(crate) async fn start_in(env: Vec<(String, String)>) -> Self {
        let mut world = Self {
            folder: tempfile::tempdir().unwrap(),
            ports: [free_port(), free_port()],
            flags: Vec::new(),
            env,
            server: None,
        };
        world.start_server().await;
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    pub(crate) async fn start_server(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut server = program()
            .arg("serve")
            .arg("--data-dir")
            .arg(self.path("data"))
            .args([
                "--listen",
                &format!("127.0.0.1:{}", self.ports[0]),
                "--s3-listen",
                &format!("127.0.0.1:{}", self.ports[1]),
            ])
            .args(&self.flags)
            .envs(self.env.iter().cloned())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            line.as_deref(),
            Some("ready"),
            "{}",
            std::fs::read_to_string(self.path("log")).unwrap()
        );
        self.server = Some(server);
    }

    /// Without a chance to tidy up. What was written stays in the kernel: it is no power cut.
    pub(crate) async fn kill_server(&mut self) {
        self.server.take().unwrap().kill().await.unwrap();
    }

    /// As who runs it would: what is in progress ends.
    pub(crate) async fn stop_server(&mut self) {
        let mut server = self.server.take().unwrap();
        let id = server.id().unwrap().to_string();
        let asked = Command::new("kill").arg(id).status().await.unwrap();
        assert!(asked.success());
        let ended = tokio::time::timeout(PATIENCE, server.wait()).await;
        ended.expect("the server did not end").unwrap();
    }

    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = program();
        command
            .env("GRANARY_ENDPOINT", self.endpoint())
            .env("GRANARY_DATA_DIR", self.path("data"))
            .current_dir(self.folder.path());
        command.args(arguments);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments)).await
    }

    pub(crate) async fn json(&self, arguments: &[&str]) -> Json {
        let all: Vec<&str> = ["--output", "json"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        serde_json::from_str(&self.run(&all).await.ok()).unwrap()
    }

    /// Writes files below the world's folder.
    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            write(&self.path(path), text);
        }
    }
}

pub(crate) fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

pub(crate) async fn finish(mut command: Command) -> Done {
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("the command did not end")
        .unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Reads lines until one holds the text.
pub(crate) async fn until(
    lines: &mut (impl tokio::io::AsyncBufRead + Unpin),
    text: &str,
) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, lines.read_line(&mut line))
            .await
            .unwrap_or_else(|_| panic!("no {text:?} in {seen:?}"));
        assert!(read.unwrap() > 0, "ended without {text:?}: {seen:?}");
        seen.push_str(&line);
        if line.contains(text) {
            return seen;
        }
    }
}
