//! An endpoint of one's own.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "helpers of tests; each test uses some of them"
)]

use std::path::Path;

use granary_s3::{Options, Server, conformance::Target};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The key pair of every test.
pub const KEYS: (&str, &str) = ("AKIATEST", "a secret of tests");

/// A running endpoint over a folder, stopped when it is dropped.
pub struct Embedded {
    pub target: Target,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), granary_s3::Error>>,
}

pub fn options(root: &Path) -> Options {
    Options {
        root: root.to_owned(),
        access_key: KEYS.0.into(),
        secret_key: KEYS.1.into(),
        buckets: vec!["ready-made".into()],
        region: "us-east-1".into(),
    }
}

impl Embedded {
    pub async fn start(root: &Path) -> Self {
        let server = Server::open(options(root)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let shutdown = CancellationToken::new();
        Self {
            target: Target::new(endpoint, KEYS.0, KEYS.1),
            serving: tokio::spawn(server.run(listener, shutdown.clone())),
            shutdown,
        }
    }

    /// Ends as the process would on SIGTERM.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.serving).await.unwrap().unwrap();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
