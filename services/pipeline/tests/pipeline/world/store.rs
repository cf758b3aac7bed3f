//! The S3 store.

use std::path::PathBuf;

use granary_core::name::SessionName;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::layout;

/// The S3 store, which can be stopped and started again.
pub struct Store {
    pub root: PathBuf,
    pub(super) address: std::net::SocketAddr,
    running: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

impl Store {
    pub(super) async fn start(root: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut store = Self {
            root,
            address: listener.local_addr().unwrap(),
            running: None,
        };
        store.serve(listener);
        store
    }

    fn serve(&mut self, listener: TcpListener) {
        let options = granary_s3::Options {
            root: self.root.clone(),
            access_key: "key".into(),
            secret_key: "secret".into(),
            buckets: layout().buckets().to_vec(),
            region: "us-east-1".into(),
        };
        let server = granary_s3::Server::open(options).unwrap();
        let stop = CancellationToken::new();
        let until = stop.clone();
        self.running = Some((
            stop,
            tokio::spawn(async move { drop(server.run(listener, until).await) }),
        ));
    }

    pub async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// The file of an object of the dataset `raw`.
    pub fn object(&self, session: &SessionName, path: &str) -> PathBuf {
        self.root
            .join("granary-raw")
            .join(&session.project)
            .join(&session.dataset)
            .join(&session.session)
            .join(path)
    }
}
