//! A platform on this machine that launches jobs in a namespace of its own.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use futures::StreamExt as _;
use granary::serve::{Platform, Settings};
use granary_core::name::{ProjectName, SessionName};
use granary_kubernetes::{Profile, Table};
use granary_proto::{
    job::v1::{
        AppSpec, ApplyCatalogRequest, CancelJobRequest, CreateJobRequest, Entrypoint, HandlerSpec,
        Input, Job, JobState, Resources, StreamJobLogsRequest, WatchJobRequest,
        application_service_client::ApplicationServiceClient, job_service_client::JobServiceClient,
    },
    metadata::v1::{Asset, ListAssetsRequest, asset_service_client::AssetServiceClient},
};
use granary_runtime::{Link, auth::TokenSource};
use granary_transfer::{DownloadOptions, Downloader, NoProgress, Wanted};
use k8s_openapi::api::{
    batch::v1::Job as Launched,
    core::v1::{Event, Namespace, Pod, ServiceAccount},
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt as _,
        wait::{await_condition, conditions::is_deleted},
        watcher::{self, watcher},
    },
};
use serde_json::json;
use tempfile::TempDir;
use tonic::transport::Endpoint;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// What the tests are told of the cluster.
#[derive(Clone, Debug)]
struct There {
    kubeconfig: PathBuf,
    host: String,
    image: String,
    programs: String,
}

fn there() -> Option<There> {
    #[allow(clippy::disallowed_methods, reason = "the test's own configuration")]
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let Some(kubeconfig) = variable("GRANARY_TEST_KUBECONFIG") else {
        eprintln!("skipped: GRANARY_TEST_KUBECONFIG is not set");
        return None;
    };
    Some(There {
        kubeconfig: kubeconfig.into(),
        host: variable("GRANARY_TEST_HOST").expect("GRANARY_TEST_HOST is not set"),
        image: variable("GRANARY_TEST_IMAGE").expect("GRANARY_TEST_IMAGE is not set"),
        programs: variable("GRANARY_TEST_PROGRAMS").expect("GRANARY_TEST_PROGRAMS is not set"),
    })
}

/// A platform on this machine that launches jobs in a namespace of its own.
pub(crate) struct World {
    there: There,
    platform: Option<Platform>,
    settings: Settings,
    folder: TempDir,
    client: Client,
    pub namespace: String,
}

impl World {
    /// Starts it; nothing where there is no cluster.
    pub(crate) async fn start() -> Option<Self> {
        Self::with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn with(
        change: impl FnOnce(&mut granary_kubernetes::Settings),
    ) -> Option<Self> {
        let there = there()?;
        granary_runtime::install_tls();
        let client = connect(&there).await;
        let folder = tempfile::tempdir().unwrap();
        let namespace = namespace(&client).await;
        let (listen, s3_listen) = (free(&there.host), free(&there.host));
        let mut kubernetes = table(&there, &namespace, listen).settle().unwrap();
        change(&mut kubernetes);
        let settings = Settings {
            listen,
            s3_listen,
            job_slots: 0,
            kubernetes: Some(kubernetes),
            ..Settings::in_folder(folder.path().join("data"))
        };
        let mut world = Self {
            there,
            platform: None,
            settings,
            folder,
            client,
            namespace,
        };
        world.begin().await;
        Some(world)
    }

    /// Starts the platform, also again.
    pub(crate) async fn begin(&mut self) {
        self.platform = Some(Platform::start(self.settings.clone()).await.unwrap());
    }

    /// Stops the platform; what runs in the cluster runs on.
    pub(crate) async fn stop(&mut self) {
        self.platform.take().unwrap().stop().await;
    }

    pub(crate) fn link(&self) -> Link {
        let file = self.platform.as_ref().unwrap().token_file().unwrap();
        let token = std::fs::read_to_string(file).unwrap();
        let channel = Endpoint::from_shared(format!("http://{}", self.settings.listen)).unwrap();
        Link::remote(
            channel.connect_lazy(),
            TokenSource::fixed(token.trim()).unwrap(),
        )
    }

    pub(crate) fn jobs(&self) -> JobServiceClient<Link> {
        JobServiceClient::new(self.link())
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn launched(&self) -> Api<Launched> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Pods in which something may still run.
    pub(crate) async fn running(&self) -> Vec<String> {
        let pods = self.pods().list(&ListParams::default()).await.unwrap();
        let runs = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            !matches!(phase.as_deref(), Some("Succeeded" | "Failed"))
        };
        let running = pods.items.into_iter().filter(runs);
        running.filter_map(|pod| pod.metadata.name).collect()
    }

    /// Waits until there is no Job in the cluster.
    pub(crate) async fn nothing_launched(&self) {
        let all = self.launched().list(&ListParams::default()).await.unwrap();
        for job in all.items {
            let (name, uid) = (job.metadata.name.unwrap(), job.metadata.uid.unwrap());
            let gone = await_condition(self.launched(), &name, is_deleted(&uid));
            let gone = tokio::time::timeout(PATIENCE, gone).await;
            gone.expect("it is still there").unwrap();
        }
    }

    /// Waits until the cluster has refused a pod.
    pub(crate) async fn refused(&self) {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let failed = watcher::Config::default().fields("reason=FailedCreate");
        let failed = watcher(events, failed).default_backoff().applied_objects();
        let mut failed = std::pin::pin!(failed);
        let seen = tokio::time::timeout(PATIENCE, failed.next()).await;
        seen.expect("nothing was refused");
    }

    /// Applies an entrypoint that runs a command.
    pub(crate) async fn entrypoint(
        &self,
        id: &str,
        command: &[&str],
        change: impl FnOnce(&mut Entrypoint),
    ) -> String {
        let name = format!("applications/{id}/versions/v1/entrypoints/run");
        let folders = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let mut entrypoint = Entrypoint {
            name: name.clone(),
            app: Some(AppSpec {
                cmd: command.iter().map(ToString::to_string).collect(),
                env: vec!["SEED".into()],
            }),
            handler: Some(HandlerSpec {
                image_url: self.there.programs.clone(),
                files_down: folders(&[("data_ids", "data")]),
                files_up: folders(&[("output", "output"), ("log", "log")]),
                ..HandlerSpec::default()
            }),
            resources: Some(Resources {
                memory_bytes: 128 << 20,
                cpus: 0.1,
                ..Resources::default()
            }),
            ..Entrypoint::default()
        };
        change(&mut entrypoint);
        let request = ApplyCatalogRequest {
            entrypoints: vec![entrypoint],
            ..ApplyCatalogRequest::default()
        };
        let mut applications = ApplicationServiceClient::new(self.link());
        applications.apply_catalog(request).await.unwrap();
        name
    }

    /// Submits a job of a command.
    pub(crate) async fn submit(
        &self,
        id: &str,
        command: &[&str],
        change: impl FnOnce(&mut Entrypoint),
    ) -> Job {
        let entrypoint = self.entrypoint(id, command, change).await;
        self.create(
            id,
            Job {
                entrypoint,
                ..Job::default()
            },
        )
        .await
    }

    pub(crate) async fn create(&self, id: &str, mut job: Job) -> Job {
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

    pub(crate) async fn cancel(&self, job: &str) {
        let request = CancelJobRequest { name: job.into() };
        self.jobs().cancel_job(request).await.unwrap();
    }

    /// Waits until a job is as it should be, or has ended.
    pub(crate) async fn until(&self, job: &str, is: impl Fn(&Job) -> bool) -> Job {
        let wait = async {
            let request = WatchJobRequest { name: job.into() };
            let mut changes = self.jobs().watch_job(request).await.unwrap().into_inner();
            let mut last = Job::default();
            while let Some(job) = changes.message().await.unwrap() {
                last = job;
                if is(&last) {
                    break;
                }
            }
            last
        };
        let ended = tokio::time::timeout(PATIENCE, wait).await;
        ended.expect("the job went nowhere")
    }

    pub(crate) async fn running_job(&self, job: &str) -> Job {
        let found = self
            .until(job, |job| job.state() == JobState::Running)
            .await;
        assert_eq!(found.state(), JobState::Running, "{found:?}");
        found
    }

    pub(crate) async fn ended(&self, job: &str) -> Job {
        self.until(job, |_| false).await
    }

    pub(crate) async fn log(&self, job: &str) -> String {
        let request = StreamJobLogsRequest {
            name: job.into(),
            ..Default::default()
        };
        let mut pieces = self
            .jobs()
            .stream_job_logs(request)
            .await
            .unwrap()
            .into_inner();
        let mut log = Vec::new();
        while let Some(piece) = pieces.message().await.unwrap() {
            log.extend(piece.data);
        }
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What a session holds: paths and contents.
    pub(crate) async fn contents(&self, session: &str) -> BTreeMap<String, Vec<u8>> {
        let name = SessionName::parse(session).unwrap();
        let request = ListAssetsRequest {
            parent: name.parent().to_string(),
            filter: format!("session = \"{}\"", name.session),
            ..Default::default()
        };
        let mut client = AssetServiceClient::new(self.link());
        let assets = client
            .list_assets(request)
            .await
            .unwrap()
            .into_inner()
            .assets;
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let place = |i: usize| folder.path().join(i.to_string());
        let wanted = assets.iter().enumerate().map(|(i, asset)| Wanted {
            asset: asset.name.parse().unwrap(),
            to: place(i),
            size_bytes: asset.size_bytes.try_into().unwrap(),
            sha256: asset.sha256.clone(),
        });
        let downloader = Downloader::new(self.link(), DownloadOptions::default());
        let project = ProjectName::new("default").unwrap();
        downloader
            .download(&project, wanted.collect(), &NoProgress)
            .await
            .unwrap();
        let read = |(i, asset): (usize, Asset)| (asset.path, std::fs::read(place(i)).unwrap());
        assets.into_iter().enumerate().map(read).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let (there, namespace) = (self.there.clone(), self.namespace.clone());
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let namespaces: Api<Namespace> = Api::all(connect(&there).await);
                let _ = namespaces
                    .delete(&namespace, &DeleteParams::default())
                    .await;
            });
        };
        #[allow(
            clippy::disallowed_methods,
            reason = "nothing can be awaited here, and the runtime of the test is not to be blocked"
        )]
        let _ = std::thread::spawn(delete).join();
    }
}

async fn connect(there: &There) -> Client {
    let file = Kubeconfig::read_from(&there.kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// A namespace at the restricted level, with the account that pods run as.
async fn namespace(client: &Client) -> String {
    let name = format!("granary-{}", granary_core::id::new("test"));
    let wanted = json!({"metadata": {
        "name": name,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    }});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let post = PostParams::default();
    let wanted = serde_json::from_value(wanted).unwrap();
    namespaces.create(&post, &wanted).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
    let account = json!({"metadata": {"name": "jobs"}, "automountServiceAccountToken": false});
    let account = serde_json::from_value(account).unwrap();
    accounts.create(&post, &account).await.unwrap();
    name
}

fn free(host: &str) -> SocketAddr {
    let listener = std::net::TcpListener::bind((host, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn table(there: &There, namespace: &str, listen: SocketAddr) -> Table {
    let endpoint = format!("http://{listen}");
    let table = json!({
        "namespace": namespace,
        "image": there.image,
        "image_pull_policy": "IfNotPresent",
        "service_account": "jobs",
        "ttl": "10m",
        "metadata_endpoint": endpoint,
        "storage_endpoint": endpoint,
        "job_endpoint": endpoint,
        "kubeconfig": there.kubeconfig,
    });
    serde_json::from_value(table).unwrap()
}

/// A profile of nodes that there are none of.
pub(crate) fn nowhere() -> Profile {
    Profile {
        node_selector: BTreeMap::from([("granary.dev/nowhere".into(), "true".into())]),
        ..Profile::default()
    }
}
