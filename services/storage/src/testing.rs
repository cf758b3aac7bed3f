//! What tests of single parts stand on: an embedded store, a database, and no metadata service.

use std::{sync::Arc, time::Duration};

use granary_core::{clock::ManualClock, layout::Layout, name::UploadName};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    db::{DatabaseUrl, Db},
    objects::ObjectsConfig,
    secret::Secret,
    server::protect,
    task::Tasks,
};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Core, Migrator, metadata, s3,
    s3::Place,
    store,
    store::{Row, State},
};

/// A core on stores of its own.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) objects: ObjectsConfig,
    _folder: TempDir,
    _tasks: Tasks,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: url::Url = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let layout = Layout::new("granary").unwrap();
        let server = granary_s3::Server::open(granary_s3::Options {
            root: folder.path().join("objects"),
            access_key: "key".into(),
            secret_key: "secret-key".into(),
            buckets: layout.buckets().to_vec(),
            region: "us-east-1".into(),
        });
        #[allow(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(server.unwrap().run(listener, CancellationToken::new()));
        let objects = ObjectsConfig {
            public_endpoint: endpoint.clone(),
            endpoint,
            region: "us-east-1".into(),
            access_key: "key".into(),
            secret_key: Secret::new("secret-key"),
            layout,
            local_root: None,
        };
        let tasks = Tasks::new();
        let clock = ManualClock::new(OffsetDateTime::now_utc());
        let url = DatabaseUrl::Sqlite(folder.path().join("db"));
        let core = Core {
            store: store::Store::new(Db::open::<Migrator>(&url, "storage").await.unwrap(), &tasks),
            s3: s3::Client::new(&objects).unwrap(),
            layout: objects.layout.clone(),
            metadata: metadata::Metadata::new(nobody()),
            clock: clock.clone(),
            write_expiry: Duration::from_secs(600),
            read_expiry: Duration::from_secs(600),
        };
        Self {
            core,
            clock,
            objects,
            _folder: folder,
            _tasks: tasks,
        }
    }
}

fn nobody() -> Link {
    let issuer = Issuer::ephemeral().unwrap();
    let served = protect(
        tonic::service::Routes::default(),
        &AuthLayer::inside(issuer.verifier(), None),
    );
    Link::local(
        served,
        TokenSource::renewed(issuer, "service:storage", Role::Service),
    )
}

/// An upload of a file in parts of 8 MiB.
pub(crate) fn large(id: &str, size: u64, now: i64) -> Row {
    Row {
        name: UploadName::new("p", "d", id).unwrap(),
        session: "s".into(),
        path: id.into(),
        place: Place {
            bucket: "granary-raw".into(),
            key: format!("p/d/s/{id}"),
        },
        size,
        sha256: "0".repeat(64),
        media_type: "text/plain".into(),
        multipart: None,
        replaced: None,
        part_size: Some(8 << 20),
        state: State::Active,
        created: now,
        expires: now + 1_000_000,
    }
}
