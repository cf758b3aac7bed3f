//! A platform without pipelines, and workers that come and go.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use granary_core::{
    clock::SystemClock,
    layout::Layout,
    name::{ProjectName, SessionName},
};
use granary_proto::{
    job::v1::{
        AppSpec, ApplyCatalogRequest, CreateJobRequest, Entrypoint, HandlerSpec, Input, Job,
        JobState, ParameterSpec, Resources, StreamJobLogsRequest, WatchJobRequest,
        application_service_client::ApplicationServiceClient, job_service_client::JobServiceClient,
    },
    metadata::v1::{
        Asset, CompleteSessionRequest, CreateDatasetRequest, CreateSessionRequest,
        FinishSessionRequest, GetSessionRequest, ListAssetsRequest, Session,
        asset_service_client::AssetServiceClient, dataset_service_client::DatasetServiceClient,
        session_service_client::SessionServiceClient,
    },
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    db::DatabaseUrl,
    objects::ObjectsConfig,
    secret::Secret,
    server,
    task::Tasks,
};
use granary_transfer::{
    DownloadOptions, Downloader, Item, NoProgress, Source, UploadOptions, Uploader, Wanted,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Endpoint};

pub(crate) const ENTRYPOINT: &str = "applications/test/versions/v1/entrypoints/run";

pub(crate) struct World {
    issuer: Issuer,
    address: std::net::SocketAddr,
    folder: TempDir,
    tasks: Tasks,
}

/// A worker that runs.
pub(crate) struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<granary_core::Result<()>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Why it ended by itself.
    pub(crate) async fn failed(&mut self) -> granary_core::Error {
        (&mut self.task).await.unwrap().unwrap_err()
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        granary_runtime::install_tls();
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new("granary").unwrap();
        let tasks = Tasks::new();
        let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let objects = ObjectsConfig::parse(
            &format!(
                "s3://granary?endpoint=http://{}",
                store.local_addr().unwrap()
            ),
            "key".into(),
            Secret::new("secret"),
        )
        .unwrap();
        let options = granary_s3::Options {
            root: folder.path().join("objects"),
            access_key: "key".into(),
            secret_key: "secret".into(),
            buckets: layout.buckets().to_vec(),
            region: "us-east-1".into(),
        };
        let s3 = granary_s3::Server::open(options).unwrap();
        let stop = tasks.stopping();
        tokio::spawn(async move { drop(s3.run(store, stop).await) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Self {
            issuer: Issuer::ephemeral().unwrap(),
            address,
            folder,
            tasks,
        };
        world.serve(listener, layout, objects).await;
        world.dataset("raw").await;
        world
    }

    async fn serve(&self, listener: TcpListener, layout: Layout, objects: ObjectsConfig) {
        let database = DatabaseUrl::Sqlite(self.folder.path().join("db"));
        let (clock, link) = (Arc::new(SystemClock), self.link(Role::Service));
        let metadata = granary_metadata::Options {
            database: database.clone(),
            layout,
            clock: clock.clone(),
            issuer: self.issuer.clone(),
            creates_tokens: true,
            issuers: Vec::new(),
            audit_kept: Duration::from_secs(90 * 24 * 3600),
        };
        let metadata = metadata.build(&self.tasks).await.unwrap();
        let storage = granary_storage::Options {
            database: database.clone(),
            objects,
            clock: clock.clone(),
            write_expiry: Duration::from_secs(600),
            read_expiry: Duration::from_secs(3600),
        };
        let storage = storage.build(&self.tasks, link.clone()).await.unwrap();
        let jobs = granary_job::Options {
            database,
            clock,
            lease: Duration::from_secs(3),
        };
        let jobs = jobs.build(&self.tasks, link.clone(), link).await.unwrap();
        let mut routes = Routes::builder();
        metadata.mount(&mut routes);
        storage.mount(&mut routes);
        jobs.mount(&mut routes);
        tokio::spawn(server::run(
            listener,
            routes.routes(),
            AuthLayer::inside(self.issuer.verifier(), None),
            self.tasks.stopping(),
        ));
    }

    pub(crate) fn link(&self, role: Role) -> Link {
        let channel = Endpoint::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect_lazy();
        Link::remote(
            channel,
            TokenSource::renewed(self.issuer.clone(), "test", role),
        )
    }

    fn people(&self) -> Link {
        self.link(Role::Administrator)
    }

    pub(crate) fn work_folder(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn worker(&self, slots: usize) -> Running {
        let options = granary_worker::Options {
            name: "local".into(),
            folder: self.work_folder(),
            resources: Resources {
                memory_bytes: 8 << 30,
                cpus: 8.0,
                gpus: 0,
                timeout: None,
            },
            slots,
            max_output_bytes: 64 << 20,
        };
        let stop = CancellationToken::new();
        let link = self.link(Role::Worker);
        let task = tokio::spawn(options.run(link.clone(), link.clone(), link, stop.clone()));
        Running { stop, task }
    }

    pub(crate) async fn dataset(&self, id: &str) {
        let request = CreateDatasetRequest {
            parent: "projects/default".into(),
            dataset_id: id.into(),
            ..Default::default()
        };
        DatasetServiceClient::new(self.people())
            .create_dataset(request)
            .await
            .unwrap();
    }

    /// Sends a session, and has it completed and processed.
    pub(crate) async fn session(
        &self,
        dataset: &str,
        id: &str,
        files: &[(&str, &[u8])],
    ) -> SessionName {
        let name = SessionName::new("default", dataset, id).unwrap();
        let mut sessions = SessionServiceClient::new(self.people());
        let request = CreateSessionRequest {
            parent: name.parent().to_string(),
            session_id: id.into(),
            ..Default::default()
        };
        sessions.create_session(request).await.unwrap();
        let items = files.iter().map(|(path, bytes)| Item {
            path: (*path).into(),
            source: Source::Bytes(bytes.to_vec().into()),
            media_type: String::new(),
            derived_from: vec![],
            producer: String::new(),
        });
        let uploader = Uploader::new(self.people(), UploadOptions::default());
        uploader
            .upload(&name, items.collect(), &NoProgress)
            .await
            .unwrap();
        sessions
            .complete_session(CompleteSessionRequest {
                name: name.to_string(),
                asset_count: 0,
            })
            .await
            .unwrap();
        self.processed(&name.to_string()).await;
        name
    }

    /// Ends what pipelines would do with a session.
    pub(crate) async fn processed(&self, session: &str) {
        let request = FinishSessionRequest {
            name: session.into(),
            ..Default::default()
        };
        SessionServiceClient::new(self.link(Role::Service))
            .finish_session(request)
            .await
            .unwrap();
    }

    pub(crate) async fn get_session(&self, name: &str) -> Session {
        let request = GetSessionRequest { name: name.into() };
        SessionServiceClient::new(self.people())
            .get_session(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// What a session holds: paths and contents.
    pub(crate) async fn contents(&self, session: &str) -> BTreeMap<String, Vec<u8>> {
        let name = SessionName::parse(session).unwrap();
        let request = ListAssetsRequest {
            parent: name.parent().to_string(),
            filter: format!("session = \"{}\"", name.session),
            ..Default::default()
        };
        let assets: Vec<Asset> = AssetServiceClient::new(self.people())
            .list_assets(request)
            .await
            .unwrap()
            .into_inner()
            .assets;
        let folder = tempfile::tempdir().unwrap();
        let wanted = assets.iter().enumerate().map(|(i, asset)| Wanted {
            asset: asset.name.parse().unwrap(),
            to: folder.path().join(i.to_string()),
            size_bytes: asset.size_bytes.try_into().unwrap(),
            sha256: asset.sha256.clone(),
        });
        let downloader = Downloader::new(self.people(), DownloadOptions::default());
        downloader
            .download(
                &ProjectName::new("default").unwrap(),
                wanted.collect(),
                &NoProgress,
            )
            .await
            .unwrap();
        let read = |(i, asset): (usize, Asset)| {
            (
                asset.path,
                std::fs::read(folder.path().join(i.to_string())).unwrap(),
            )
        };
        assets.into_iter().enumerate().map(read).collect()
    }

    /// Applies a catalogue of one entrypoint that runs a script of Python.
    pub(crate) async fn script(&self, script: &str, change: impl FnOnce(&mut Entrypoint)) {
        let parameter = ParameterSpec {
            r#type: "text".into(),
            default: Some(text("")),
            description: String::new(),
        };
        let folders = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let mut entrypoint = Entrypoint {
            name: ENTRYPOINT.into(),
            app: Some(AppSpec {
                cmd: ["python3", "-c", script, "{params.word}"]
                    .map(ToOwned::to_owned)
                    .to_vec(),
                env: vec!["SEED".into()],
            }),
            handler: Some(HandlerSpec {
                image_url: String::new(),
                files_down: folders(&[("data_ids", "data")]),
                files_up: folders(&[
                    ("output", "output"),
                    ("artifact", "artifact"),
                    ("log", "log"),
                ]),
                ..HandlerSpec::default()
            }),
            resources: Some(Resources {
                memory_bytes: 256 << 20,
                ..Resources::default()
            }),
            parameters: BTreeMap::from([("word".to_owned(), parameter)]),
            update_time: None,
        };
        change(&mut entrypoint);
        let request = ApplyCatalogRequest {
            entrypoints: vec![entrypoint],
            ..ApplyCatalogRequest::default()
        };
        ApplicationServiceClient::new(self.people())
            .apply_catalog(request)
            .await
            .unwrap();
    }

    pub(crate) fn jobs(&self) -> JobServiceClient<Link> {
        JobServiceClient::new(self.people())
    }

    pub(crate) async fn submit(&self, id: &str, job: Job) -> Job {
        let mut job = Job {
            entrypoint: ENTRYPOINT.into(),
            ..job
        };
        if job.inputs.is_empty() {
            job.inputs.push(Input {
                mapping: "data_ids".into(),
                ..Input::default()
            });
        }
        let request = CreateJobRequest {
            parent: "projects/default".into(),
            job: Some(job),
            job_id: id.into(),
            request_id: String::new(),
        };
        self.jobs().create_job(request).await.unwrap().into_inner()
    }

    /// Waits until a job is in a state, or has ended.
    pub(crate) async fn reached(&self, job: &str, state: JobState) -> Job {
        let wait = async {
            let mut changes = self
                .jobs()
                .watch_job(WatchJobRequest { name: job.into() })
                .await
                .unwrap()
                .into_inner();
            let mut last = Job::default();
            while let Some(job) = changes.message().await.unwrap() {
                last = job;
                if last.state() == state {
                    break;
                }
            }
            last
        };
        tokio::time::timeout(Duration::from_secs(90), wait)
            .await
            .expect("the job went nowhere")
    }

    pub(crate) async fn ended(&self, job: &str) -> Job {
        self.reached(job, JobState::Unspecified).await
    }

    /// Reads a job's log until it holds some text, or ends.
    pub(crate) async fn log_with(&self, job: &str, wanted: &str) -> String {
        let request = StreamJobLogsRequest {
            name: job.into(),
            follow: true,
            ..Default::default()
        };
        let mut stream = self
            .jobs()
            .stream_job_logs(request)
            .await
            .unwrap()
            .into_inner();
        let mut log = Vec::new();
        let read = async {
            while let Some(piece) = stream.message().await.unwrap() {
                log.extend(piece.data);
                if !wanted.is_empty() && String::from_utf8_lossy(&log).contains(wanted) {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(90), read)
            .await
            .expect("the log holds no such text");
        String::from_utf8_lossy(&log).into_owned()
    }
}

pub(crate) fn text(text: &str) -> granary_proto::metadata::v1::Value {
    granary_proto::convert::wire_value(text.into())
}
