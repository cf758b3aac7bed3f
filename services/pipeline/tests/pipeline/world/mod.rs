//! Everything that one test needs, in a folder and on ports of its own.

mod calls;
mod front;
mod service;
mod store;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use granary_core::{
    clock::SystemClock,
    layout::Layout,
    name::{ProjectName, SessionName},
};
use granary_pipeline::Options;
use granary_proto::{json::from_json, pipeline::v1::PipelineDefinition};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    db::DatabaseUrl,
    objects::{ObjectReader, ObjectsConfig},
    secret::Secret,
    server,
    task::Tasks,
};
use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::{service::Routes, transport::Endpoint};

pub use front::{Act, Front};
pub use service::Service;
pub use store::Store;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// Metadata, storage and the store; pipelines come and go.
pub struct World {
    pub issuer: Issuer,
    pub address: std::net::SocketAddr,
    pub store: Store,
    database: DatabaseUrl,
    /// Read by S3 requests, not from the folder.
    pub remote_objects: bool,
    _tasks: Tasks,
    _folder: TempDir,
}

pub fn layout() -> Layout {
    Layout::new("granary").unwrap()
}

pub fn project() -> ProjectName {
    ProjectName::new("default").unwrap()
}

pub fn session(id: &str) -> SessionName {
    SessionName::new("default", "raw", id).unwrap()
}

impl World {
    /// One on each database that is at hand.
    pub async fn each() -> Vec<Self> {
        let mut worlds = vec![Self::start_on(None).await];
        match std::env::var("GRANARY_TEST_POSTGRES")
            .ok()
            .filter(|url| !url.is_empty())
        {
            Some(url) => worlds.push(Self::start_on(Some(&url)).await),
            None => eprintln!("skipped: PostgreSQL (set GRANARY_TEST_POSTGRES)"),
        }
        worlds
    }

    /// One on SQLite.
    pub async fn start() -> Self {
        Self::start_on(None).await
    }

    async fn start_on(postgres: Option<&str>) -> Self {
        granary_runtime::install_tls();
        let folder = tempfile::tempdir().unwrap();
        let database = match postgres {
            None => DatabaseUrl::Sqlite(folder.path().join("db")),
            Some(url) => fresh_database(url).await,
        };
        let store = Store::start(folder.path().join("objects")).await;
        let issuer = Issuer::ephemeral().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        let world = Self {
            issuer,
            address,
            store,
            database,
            remote_objects: false,
            _tasks: tasks.clone(),
            _folder: folder,
        };
        world.serve_others(&tasks, listener).await;
        world.dataset("raw").await;
        world
    }

    async fn serve_others(&self, tasks: &Tasks, listener: TcpListener) {
        let metadata = granary_metadata::Options {
            database: self.database.clone(),
            layout: layout(),
            clock: Arc::new(SystemClock),
            issuer: self.issuer.clone(),
            creates_tokens: true,
            issuers: Vec::new(),
            audit_kept: Duration::from_secs(90 * 24 * 3600),
        };
        let metadata = metadata.build(tasks).await.unwrap();
        let storage = granary_storage::Options {
            database: self.database.clone(),
            objects: self.objects(),
            clock: Arc::new(SystemClock),
            write_expiry: Duration::from_secs(600),
            read_expiry: Duration::from_secs(3600),
        };
        let storage = storage
            .build(tasks, self.link(Role::Service))
            .await
            .unwrap();
        let mut routes = Routes::builder();
        metadata.mount(&mut routes);
        storage.mount(&mut routes);
        let auth = AuthLayer::inside(self.issuer.verifier(), None);
        tokio::spawn(server::run(
            listener,
            routes.routes(),
            auth,
            tasks.stopping(),
        ));
    }

    fn objects(&self) -> ObjectsConfig {
        let url = format!("s3://granary?endpoint=http://{}", self.store.address);
        let config = ObjectsConfig::parse(&url, "key".into(), Secret::new("secret")).unwrap();
        ObjectsConfig {
            local_root: (!self.remote_objects).then(|| self.store.root.clone()),
            ..config
        }
    }

    /// A way to metadata and storage, made in the runtime that uses it.
    pub fn link(&self, role: Role) -> Link {
        let channel = Endpoint::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect_lazy();
        Link::remote(
            channel,
            TokenSource::renewed(self.issuer.clone(), "test", role),
        )
    }

    /// What a pipeline service is made of here.
    pub fn options(&self) -> Options {
        Options {
            database: self.database.clone(),
            objects: ObjectReader::new(self.objects()).unwrap(),
            clock: Arc::new(SystemClock),
            workers: 2,
        }
    }

    /// Starts a pipeline service.
    pub async fn pipeline(&self) -> Service {
        self.pipeline_over(self.link(Role::Service)).await
    }

    /// Starts a pipeline service that calls the others in this way.
    pub async fn pipeline_over(&self, others: Link) -> Service {
        let tasks = Tasks::new();
        let pipeline = self
            .options()
            .build(&tasks, others.clone(), others)
            .await
            .unwrap();
        pipeline.check().await.unwrap();
        let mut routes = Routes::builder();
        pipeline.mount(&mut routes);
        let served = server::protect(
            routes.routes(),
            &AuthLayer::inside(self.issuer.verifier(), None),
        );
        let token = TokenSource::renewed(self.issuer.clone(), "ada", Role::Administrator);
        Service {
            link: Link::local(served, token),
            tasks,
        }
    }
}

async fn fresh_database(url: &str) -> DatabaseUrl {
    let name = format!("test{}", uuid::Uuid::new_v4().simple());
    let admin = Database::connect(url).await.unwrap();
    admin
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    admin.close().await.unwrap();
    let mut url = url::Url::parse(url).unwrap();
    url.set_path(&name);
    DatabaseUrl::parse(url.as_str()).unwrap()
}

pub fn definition(yaml: &str) -> PipelineDefinition {
    from_json(serde_yaml_ng::from_str(yaml).unwrap()).unwrap()
}

/// `FIELD: MESSAGE` lines of an asset or a session.
pub fn errors(report: &BTreeMap<String, granary_proto::metadata::v1::Messages>) -> Vec<String> {
    report
        .iter()
        .flat_map(|(field, found)| {
            found
                .messages
                .iter()
                .map(move |message| format!("{field}: {message}"))
        })
        .collect()
}
