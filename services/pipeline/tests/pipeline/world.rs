//! Everything that one test needs, in a folder and on ports of its own.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use granary_core::{
    clock::SystemClock,
    layout::Layout,
    name::{ProjectName, SessionName},
};
use granary_pipeline::Options;
use granary_proto::{
    json::from_json,
    metadata::v1::{
        Asset, CompleteSessionRequest, CreateDatasetRequest, CreateSessionRequest,
        GetSessionRequest, ListAssetsRequest, Session, SessionState, WatchEventsRequest,
        asset_service_client::AssetServiceClient, dataset_service_client::DatasetServiceClient,
        event_service_client::EventServiceClient, session_service_client::SessionServiceClient,
    },
    pipeline::v1::{
        ApplyPipelineRequest, ApplyPipelineResponse, ListRunsRequest, ListStepResultsRequest,
        PipelineDefinition, Run, StepResult, pipeline_service_client::PipelineServiceClient,
        run_service_client::RunServiceClient,
    },
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    db::DatabaseUrl,
    objects::{ObjectReader, ObjectsConfig},
    secret::Secret,
    server,
    task::Tasks,
};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};
use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes, transport::Endpoint};

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

/// The S3 store, which can be stopped and started again.
pub struct Store {
    pub root: PathBuf,
    address: std::net::SocketAddr,
    running: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

impl Store {
    async fn start(root: PathBuf) -> Self {
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

fn layout() -> Layout {
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
            issuer: Some(self.issuer.clone()),
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
        let auth = AuthLayer::new(self.issuer.verifier());
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
            objects: ObjectReader::new(self.objects()),
            clock: Arc::new(SystemClock),
            workers: 2,
        }
    }

    /// Starts a pipeline service.
    pub async fn pipeline(&self) -> Service {
        let tasks = Tasks::new();
        let link = self.link(Role::Service);
        let pipeline = self
            .options()
            .build(&tasks, link.clone(), link)
            .await
            .unwrap();
        pipeline.check().await.unwrap();
        let mut routes = Routes::builder();
        pipeline.mount(&mut routes);
        let served = server::protect(routes.routes(), &AuthLayer::new(self.issuer.verifier()));
        Service {
            link: Link::local(
                served,
                TokenSource::renewed(self.issuer.clone(), "ada", Role::Administrator),
            ),
            tasks,
        }
    }

    pub async fn dataset(&self, id: &str) {
        let request = CreateDatasetRequest {
            parent: project().to_string(),
            dataset_id: id.into(),
            ..Default::default()
        };
        DatasetServiceClient::new(self.link(Role::Administrator))
            .create_dataset(request)
            .await
            .unwrap();
    }

    pub fn sessions(&self) -> SessionServiceClient<Link> {
        SessionServiceClient::new(self.link(Role::Administrator))
    }

    /// Sends a session, with `metadata.txt` as its metadata if it is there, and completes it.
    pub async fn send(&self, id: &str, files: Vec<(&str, Vec<u8>)>) -> SessionName {
        let files = files
            .into_iter()
            .map(|(path, bytes)| (path.to_owned(), bytes))
            .collect();
        self.send_to(session(id), files).await
    }

    pub async fn send_to(&self, name: SessionName, files: Vec<(String, Vec<u8>)>) -> SessionName {
        self.fill(&name, files).await;
        self.complete(&name).await;
        name
    }

    pub async fn fill(&self, name: &SessionName, files: Vec<(String, Vec<u8>)>) {
        let metadata_path = files
            .iter()
            .map(|(path, _)| path.clone())
            .find(|path| path == "metadata.txt")
            .unwrap_or_default();
        let request = CreateSessionRequest {
            parent: name.parent().to_string(),
            session: Some(Session {
                metadata_path,
                ..Default::default()
            }),
            session_id: name.session.clone(),
            request_id: String::new(),
        };
        self.sessions().create_session(request).await.unwrap();
        let items = files.into_iter().map(|(path, bytes)| Item {
            path,
            source: Source::Bytes(bytes.into()),
            media_type: String::new(),
            derived_from: vec![],
            producer: String::new(),
        });
        let uploader = Uploader::new(self.link(Role::Administrator), UploadOptions::default());
        uploader
            .upload(name, items.collect(), &NoProgress)
            .await
            .unwrap();
    }

    pub async fn complete(&self, name: &SessionName) {
        let request = CompleteSessionRequest {
            name: name.to_string(),
            asset_count: 0,
        };
        self.sessions().complete_session(request).await.unwrap();
    }

    pub async fn session(&self, name: &SessionName) -> Session {
        self.sessions()
            .get_session(GetSessionRequest {
                name: name.to_string(),
            })
            .await
            .unwrap()
            .into_inner()
    }

    /// Waits until a session is processed or failed.
    pub async fn finished(&self, name: &SessionName) -> Session {
        let wait = async {
            let mut events = EventServiceClient::new(self.link(Role::Administrator));
            let request = WatchEventsRequest {
                parent: project().to_string(),
                resume_token: "0".into(),
                types: vec!["session.processed".into(), "session.failed".into()],
                resource: name.to_string(),
            };
            let mut events = events.watch_events(request).await.unwrap().into_inner();
            while let Some(batch) = events.message().await.unwrap() {
                if !batch.events.is_empty() {
                    break;
                }
            }
            self.session(name).await
        };
        let session = tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{name} did not finish"));
        assert_ne!(session.state(), SessionState::Completed);
        session
    }

    /// The assets of a session by path.
    pub async fn assets(&self, name: &SessionName) -> BTreeMap<String, Asset> {
        let mut assets = BTreeMap::new();
        let mut request = ListAssetsRequest {
            parent: name.parent().to_string(),
            page_size: 1000,
            page_token: String::new(),
            filter: format!("session = {:?}", name.session),
        };
        let mut client = AssetServiceClient::new(self.link(Role::Administrator));
        loop {
            let page = client
                .list_assets(request.clone())
                .await
                .unwrap()
                .into_inner();
            assets.extend(
                page.assets
                    .into_iter()
                    .map(|asset| (asset.path.clone(), asset)),
            );
            if page.next_page_token.is_empty() {
                return assets;
            }
            request.page_token = page.next_page_token;
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

/// A pipeline service and how to call it.
pub struct Service {
    pub link: Link,
    tasks: Tasks,
}

impl Service {
    pub fn pipelines(&self) -> PipelineServiceClient<Link> {
        PipelineServiceClient::new(self.link.clone())
    }

    pub fn runs(&self) -> RunServiceClient<Link> {
        RunServiceClient::new(self.link.clone())
    }

    pub async fn try_apply(&self, yaml: &str) -> Result<ApplyPipelineResponse, Status> {
        let request = ApplyPipelineRequest {
            parent: project().to_string(),
            definition: Some(definition(yaml)),
        };
        self.pipelines()
            .apply_pipeline(request)
            .await
            .map(|response| response.into_inner())
    }

    pub async fn apply(&self, yaml: &str) -> ApplyPipelineResponse {
        self.try_apply(yaml).await.unwrap()
    }

    /// The runs on a session, the newest first.
    pub async fn runs_on(&self, session: &SessionName) -> Vec<Run> {
        let request = ListRunsRequest {
            parent: "projects/default/pipelines/-".into(),
            session: session.to_string(),
            ..Default::default()
        };
        self.runs()
            .list_runs(request)
            .await
            .unwrap()
            .into_inner()
            .runs
    }

    /// The one run on a session, once it has ended.
    pub async fn ended(&self, session: &SessionName) -> Run {
        let runs = self.runs_on(session).await;
        assert_eq!(runs.len(), 1, "{runs:?}");
        self.end_of(&runs[0].name).await
    }

    /// A run, once it has ended.
    pub async fn end_of(&self, name: &str) -> Run {
        let request = granary_proto::pipeline::v1::WatchRunRequest { name: name.into() };
        let mut states = self.runs().watch_run(request).await.unwrap().into_inner();
        let wait = async {
            let mut last = None;
            while let Some(run) = states.message().await.unwrap() {
                last = Some(run);
            }
            last.unwrap()
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{name} did not end"))
    }

    pub async fn results(&self, run: &str) -> Vec<StepResult> {
        let request = ListStepResultsRequest {
            parent: run.into(),
            page_size: 1000,
            ..Default::default()
        };
        self.runs()
            .list_step_results(request)
            .await
            .unwrap()
            .into_inner()
            .results
    }

    pub async fn stop(self) {
        assert!(self.tasks.drain(PATIENCE).await);
    }
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
