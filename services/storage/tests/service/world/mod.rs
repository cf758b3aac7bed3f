//! A storage service of its own, on the embedded stores always and on real servers where there are some.

mod calls;
mod front;
mod raw;

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use granary_core::{
    clock::{SharedClock, SystemClock},
    layout::Layout,
    name::{ProjectName, SessionName},
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    db::DatabaseUrl,
    objects::{ObjectReader, ObjectsConfig},
    secret::Secret,
    server::protect,
    task::Tasks,
};
use granary_storage::Storage;
use granary_transfer::{DownloadOptions, Downloader, Item, Source, UploadOptions, Uploader};
use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use url::Url;

pub(crate) use front::{Fault, Front};
pub(crate) use raw::{sha256, sum};

/// What a world stands on.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Embedded,
    /// A PostgreSQL, an S3 server, or both; what is not there is embedded.
    Servers {
        postgres: Option<String>,
        s3: Option<Url>,
    },
}

/// Runs a test on each backend that is at hand.
pub(crate) async fn each(test: impl AsyncFn(World)) {
    for backend in backends() {
        eprintln!(
            "on {}",
            if matches!(backend, Backend::Embedded) {
                "the embedded stores"
            } else {
                "servers"
            }
        );
        test(World::start(&backend).await).await;
    }
}

fn backends() -> Vec<Backend> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (postgres, s3) = (
        variable("GRANARY_TEST_POSTGRES"),
        variable("GRANARY_TEST_S3").map(|url| Url::parse(&url).unwrap()),
    );
    let mut all = vec![Backend::Embedded];
    if postgres.is_some() || s3.is_some() {
        all.push(Backend::Servers { postgres, s3 });
    }
    all
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    _tasks: Tasks,
    pub(crate) storage: Storage,
    pub(crate) metadata: Link,
    pub(crate) link: Link,
    pub(crate) objects: ObjectsConfig,
    /// Between everybody and the store.
    pub(crate) front: Front,
}

impl World {
    /// Starts one on the embedded stores.
    pub(crate) async fn embedded() -> Self {
        Self::start(&Backend::Embedded).await
    }

    pub(crate) async fn start(backend: &Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, objects) = store(backend, folder.path()).await;
        let front = Front::before(store).await;
        Self::with(backend, folder, behind(objects, front.address()), front).await
    }

    /// Starts one whose store is said to be at an address.
    pub(crate) async fn with(
        backend: &Backend,
        folder: TempDir,
        objects: ObjectsConfig,
        front: Front,
    ) -> Self {
        let database = database(backend, folder.path()).await;
        let (tasks, issuer) = (Tasks::new(), Issuer::ephemeral().unwrap());
        let clock: SharedClock = Arc::new(SystemClock);
        let options = granary_metadata::Options {
            database: database.clone(),
            layout: objects.layout.clone(),
            clock: clock.clone(),
            issuer: issuer.clone(),
            creates_tokens: false,
            issuers: Vec::new(),
            audit_kept: Duration::from_secs(90 * 24 * 3600),
        };
        let metadata = options.build(&tasks).await.unwrap();
        let metadata = serve(&issuer, |routes| metadata.mount(routes));
        let options = granary_storage::Options {
            database,
            objects: objects.clone(),
            clock,
            write_expiry: Duration::from_secs(600),
            read_expiry: Duration::from_secs(3600),
        };
        let storage = options.build(&tasks, metadata.clone()).await.unwrap();
        let link = serve(&issuer, |routes| storage.mount(routes));
        Self {
            folder,
            _tasks: tasks,
            storage,
            metadata,
            link,
            objects,
            front,
        }
    }

    pub(crate) fn uploader(&self) -> Uploader {
        Uploader::new(self.link.clone(), UploadOptions::default())
    }

    pub(crate) fn downloader(&self) -> Downloader {
        Downloader::new(self.link.clone(), DownloadOptions::default())
    }

    pub(crate) fn reader(&self) -> ObjectReader {
        ObjectReader::new(self.objects.clone()).unwrap()
    }

    /// Writes a file and answers what sends it.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> Item {
        let path = self
            .folder
            .path()
            .join(format!("{}.file", sha256(name.as_bytes())));
        std::fs::write(&path, bytes).unwrap();
        item(name, Source::File(path))
    }
}

pub(crate) fn item(path: &str, source: Source) -> Item {
    Item {
        path: path.into(),
        source,
        media_type: String::new(),
        derived_from: vec![],
        producer: String::new(),
    }
}

/// Bytes that compress badly and differ by seed.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next)
        .flatten()
        .take(size)
        .collect()
}

pub(crate) fn project() -> ProjectName {
    ProjectName::new("default").unwrap()
}

/// Calls with the rights of a service.
fn serve(issuer: &Issuer, mount: impl FnOnce(&mut RoutesBuilder)) -> Link {
    let mut routes = RoutesBuilder::default();
    mount(&mut routes);
    let served = protect(routes.routes(), &AuthLayer::inside(issuer.verifier(), None));
    Link::local(
        served,
        TokenSource::renewed(issuer.clone(), "service:test", Role::Service),
    )
}

fn behind(mut objects: ObjectsConfig, address: SocketAddr) -> ObjectsConfig {
    objects.endpoint = Url::parse(&format!("http://{address}")).unwrap();
    objects.public_endpoint = objects.endpoint.clone();
    objects
}

async fn store(backend: &Backend, folder: &Path) -> (SocketAddr, ObjectsConfig) {
    if let Backend::Servers { s3: Some(s3), .. } = backend {
        let prefix = format!("test{}", uuid::Uuid::new_v4().simple());
        let address = s3.socket_addrs(|| None).unwrap()[0];
        return (
            address,
            objects(s3.username(), s3.password().unwrap_or_default(), &prefix),
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    embedded_store(folder, listener);
    (address, objects("key", "secret-key", "granary"))
}

pub(crate) fn objects(key: &str, secret: &str, prefix: &str) -> ObjectsConfig {
    let nowhere = Url::parse("http://127.0.0.1:1").unwrap();
    ObjectsConfig {
        endpoint: nowhere.clone(),
        public_endpoint: nowhere,
        region: "us-east-1".into(),
        access_key: key.into(),
        secret_key: Secret::new(secret),
        layout: Layout::new(prefix).unwrap(),
        local_root: None,
    }
}

/// Serves the embedded store; it ends with the test.
pub(crate) fn embedded_store(folder: &Path, listener: TcpListener) {
    let options = granary_s3::Options {
        root: folder.join("objects"),
        access_key: "key".into(),
        secret_key: "secret-key".into(),
        buckets: vec![],
        region: "us-east-1".into(),
    };
    let server = granary_s3::Server::open(options).unwrap();
    tokio::spawn(server.run(listener, CancellationToken::new()));
}

async fn database(backend: &Backend, folder: &Path) -> DatabaseUrl {
    let Backend::Servers {
        postgres: Some(postgres),
        ..
    } = backend
    else {
        return DatabaseUrl::Sqlite(folder.join("db"));
    };
    let name = format!("test{}", uuid::Uuid::new_v4().simple());
    let admin = Database::connect(postgres).await.unwrap();
    admin
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    admin.close().await.unwrap();
    let mut url = Url::parse(postgres).unwrap();
    url.set_path(&name);
    DatabaseUrl::parse(url.as_str()).unwrap()
}

/// What is told to a progress bar.
#[derive(Debug, Default)]
pub(crate) struct Told(pub(crate) std::sync::Mutex<HashMap<&'static str, u64>>);

impl Told {
    fn add(&self, what: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(what).or_default() += count;
    }

    pub(crate) fn of(&self, what: &str) -> u64 {
        self.0
            .lock()
            .unwrap()
            .get(what)
            .copied()
            .unwrap_or_default()
    }
}

impl granary_transfer::Progress for Told {
    fn total(&self, files: u64, bytes: u64) {
        self.add("files", files);
        self.add("bytes", bytes);
    }
    fn hashed(&self, bytes: u64) {
        self.add("hashed", bytes);
    }
    fn sent(&self, bytes: u64) {
        self.add("sent", bytes);
    }
    fn skipped(&self, bytes: u64) {
        self.add("skipped", bytes);
    }
    fn done_file(&self, _path: &str) {
        self.add("done", 1);
    }
}

/// Tries until it works, for a while.
pub(crate) async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let tried = async {
        loop {
            tick.tick().await;
            if let Some(found) = attempt().await {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), tried)
        .await
        .expect("it did not happen in 20 s")
}

/// A session that is open.
pub(crate) fn session(name: &str) -> SessionName {
    SessionName::new("default", "recordings", name).unwrap()
}
