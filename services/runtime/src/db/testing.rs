//! What tests of the database have in common.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::DatabaseUrl;

/// No tables.
pub(super) struct Nothing;

impl MigratorTrait for Nothing {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![]
    }
}

/// The PostgreSQL server of the tests, if there is one.
pub(super) fn postgres() -> Option<DatabaseUrl> {
    #[allow(clippy::disallowed_methods, reason = "where the test's server is")]
    let url = std::env::var("GRANARY_TEST_POSTGRES").ok()?;
    Some(DatabaseUrl::parse(&url).unwrap())
}

/// A way to a server on which connections can be lost without a word.
pub(super) struct Proxy(Arc<Mutex<CancellationToken>>);

impl Proxy {
    /// One before a server, and the URL that goes through it.
    pub(super) async fn before(url: &DatabaseUrl) -> (Self, DatabaseUrl) {
        let DatabaseUrl::Postgres(url) = url else {
            panic!("no server");
        };
        let mut url = Url::parse(url.reveal()).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        url.set_ip_host(address.ip()).unwrap();
        url.set_port(Some(address.port())).unwrap();
        let proxy = Self(Arc::default());
        let silence = proxy.0.clone();
        spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                spawn(pass(client, server, silence.lock().clone()));
            }
        });
        (proxy, DatabaseUrl::parse(url.as_str()).unwrap())
    }

    /// Connections that are open stay open, but nothing comes through any more; new ones are as ever.
    pub(super) fn fall_silent(&self) {
        std::mem::take(&mut *self.0.lock()).cancel();
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, silence: CancellationToken) {
    tokio::select! {
        biased;
        () = silence.cancelled() => std::future::pending().await,
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    #[allow(clippy::disallowed_methods, reason = "a test")]
    tokio::spawn(task);
}
