//! A Job service of its own for each test, with a clock that stands until it is moved.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use granary_core::{Error, clock::ManualClock};
use granary_job::{Jobs, Options};
use granary_proto::{
    convert,
    job::v1::{
        AcquireJobsRequest, AppSpec, ApplyCatalogRequest, BatchFinishJobsRequest,
        BatchReportJobsRequest, CreateJobRequest, Entrypoint, FailureClass, GetJobRequest,
        HandlerSpec, Input, Job, JobFinish, JobReport, JobReportResult, JobState, Lease,
        ParameterSpec, RegisterWorkerRequest, Resources, Worker,
        application_service_client::ApplicationServiceClient, job_service_client::JobServiceClient,
        worker_service_client::WorkerServiceClient,
    },
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    db::DatabaseUrl,
    rpc::{from_item, from_status},
    server::protect,
    task::Tasks,
};
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;
use time::OffsetDateTime;
use tonic::service::Routes;

use crate::metadata::{self, Fake};

pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const PARENT: &str = "projects/default";
pub(crate) const ENTRYPOINT: &str = "applications/summary/versions/v1/entrypoints/train";

pub(crate) struct World {
    pub(crate) jobs: Jobs,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metadata: Arc<Fake>,
    database: DatabaseUrl,
    people: Link,
    workers: Link,
    strangers: Link,
    issuer: Issuer,
    tasks: Tasks,
    _folder: Option<TempDir>,
}

/// Runs a test on SQLite, and on PostgreSQL where there is one.
macro_rules! on_both {
    ($(async fn $name:ident($world:ident: World) $body:block)+) => {$(
        mod $name {
            use super::*;
            async fn test($world: World) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test(World::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(world) = World::postgres().await {
                    test(world).await;
                }
            }
        }
    )+};
}
pub(crate) use on_both;

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = DatabaseUrl::Sqlite(folder.path().to_owned());
        Self::start(database, Some(folder)).await
    }

    #[allow(clippy::disallowed_methods, reason = "the test's own configuration")]
    pub(crate) async fn postgres() -> Option<Self> {
        let Some(server) = std::env::var("GRANARY_TEST_POSTGRES")
            .ok()
            .filter(|url| !url.is_empty())
        else {
            assert!(
                std::env::var("CI").is_err(),
                "in CI, GRANARY_TEST_POSTGRES must be set"
            );
            eprintln!("skipped: PostgreSQL (set GRANARY_TEST_POSTGRES, as `make test` does)");
            return None;
        };
        let name = format!("job{}", uuid::Uuid::new_v4().simple());
        let admin = sea_orm::Database::connect(&server).await.unwrap();
        admin
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        admin.close().await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        Some(Self::start(DatabaseUrl::parse(&format!("{base}/{name}")).unwrap(), None).await)
    }

    async fn start(database: DatabaseUrl, folder: Option<TempDir>) -> Self {
        let clock = ManualClock::new(OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap());
        let issuer = Issuer::ephemeral().unwrap();
        let tasks = Tasks::new();
        let metadata = Arc::new(Fake::default());
        let link = metadata::link(metadata.clone(), &issuer);
        let options = Options {
            database: database.clone(),
            clock: clock.clone(),
            lease: LEASE,
        };
        let jobs = options.build(&tasks, link.clone(), link).await.unwrap();
        let [people, workers, strangers] = links(&jobs, &issuer);
        Self {
            jobs,
            clock,
            metadata,
            database,
            people,
            workers,
            strangers,
            issuer,
            tasks,
            _folder: folder,
        }
    }

    /// The same database, served by a new process.
    pub(crate) async fn restart(mut self) -> Self {
        self.tasks.stopping().cancel();
        self.tasks = Tasks::new();
        let link = metadata::link(self.metadata.clone(), &self.issuer);
        let options = Options {
            database: self.database.clone(),
            clock: self.clock.clone(),
            lease: LEASE,
        };
        self.jobs = options
            .build(&self.tasks, link.clone(), link)
            .await
            .unwrap();
        [self.people, self.workers, self.strangers] = links(&self.jobs, &self.issuer);
        self
    }

    pub(crate) fn applications(&self) -> ApplicationServiceClient<Link> {
        ApplicationServiceClient::new(self.people.clone())
    }

    pub(crate) fn api(&self) -> JobServiceClient<Link> {
        JobServiceClient::new(self.people.clone())
    }

    pub(crate) fn workers(&self) -> WorkerServiceClient<Link> {
        WorkerServiceClient::new(self.workers.clone())
    }

    /// The same, with a token of another subject.
    pub(crate) fn strangers(&self) -> WorkerServiceClient<Link> {
        WorkerServiceClient::new(self.strangers.clone())
    }

    pub(crate) fn people_of_workers(&self) -> WorkerServiceClient<Link> {
        WorkerServiceClient::new(self.people.clone())
    }

    /// Applies the usual catalogue: one entrypoint.
    pub(crate) async fn catalog(&self) {
        self.apply(vec![entrypoint()]).await.unwrap();
    }

    pub(crate) async fn apply(
        &self,
        entrypoints: Vec<Entrypoint>,
    ) -> Result<granary_proto::job::v1::ApplyCatalogResponse, Error> {
        let request = ApplyCatalogRequest {
            entrypoints,
            ..ApplyCatalogRequest::default()
        };
        self.applications()
            .apply_catalog(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(from_status)
    }

    pub(crate) async fn create(&self, request: CreateJobRequest) -> Result<Job, Error> {
        self.api()
            .create_job(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(from_status)
    }

    /// Submits a plain job.
    pub(crate) async fn submit(&self, id: &str) -> Job {
        self.create(CreateJobRequest {
            job_id: id.into(),
            ..request(Job::default())
        })
        .await
        .unwrap()
    }

    pub(crate) async fn get(&self, job: &str) -> Job {
        self.api()
            .get_job(GetJobRequest { name: job.into() })
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn state(&self, job: &str) -> JobState {
        self.get(job).await.state()
    }

    pub(crate) async fn register(&self, id: &str) {
        self.workers()
            .register_worker(registration(id))
            .await
            .unwrap();
    }

    pub(crate) async fn acquire(&self, worker: &str, max_jobs: i32) -> Vec<Lease> {
        self.acquire_within(worker, max_jobs, plenty(), Duration::ZERO)
            .await
    }

    pub(crate) async fn acquire_within(
        &self,
        worker: &str,
        max_jobs: i32,
        free: Resources,
        wait: Duration,
    ) -> Vec<Lease> {
        let wait = Some(convert::wire_duration(wait));
        let request = AcquireJobsRequest {
            name: format!("workers/{worker}"),
            max_jobs,
            free: Some(free),
            wait,
            ..AcquireJobsRequest::default()
        };
        self.workers()
            .acquire_jobs(request)
            .await
            .unwrap()
            .into_inner()
            .leases
    }

    /// Submits a job and has a worker take it.
    pub(crate) async fn running(&self, id: &str, worker: &str) -> Lease {
        self.submit(id).await;
        let lease = self.acquire(worker, 1).await.pop().unwrap();
        self.report(
            worker,
            JobReport {
                state: JobState::Running.into(),
                ..report(&lease)
            },
        )
        .await
        .unwrap();
        lease
    }

    pub(crate) async fn report(
        &self,
        worker: &str,
        report: JobReport,
    ) -> Result<JobReportResult, Error> {
        let request = BatchReportJobsRequest {
            name: format!("workers/{worker}"),
            reports: vec![report],
        };
        let result = self
            .workers()
            .batch_report_jobs(request)
            .await
            .unwrap()
            .into_inner()
            .results
            .pop()
            .unwrap();
        result
            .error
            .clone()
            .map_or(Ok(result), |error| Err(from_item(error)))
    }

    pub(crate) async fn finish(&self, worker: &str, finish: JobFinish) -> Result<JobState, Error> {
        let request = BatchFinishJobsRequest {
            name: format!("workers/{worker}"),
            finishes: vec![finish],
        };
        let result = self
            .workers()
            .batch_finish_jobs(request)
            .await
            .unwrap()
            .into_inner()
            .results
            .pop()
            .unwrap();
        result
            .error
            .clone()
            .map_or_else(|| Ok(result.state()), |error| Err(from_item(error)))
    }

    /// Moves the clock, and has the service notice.
    pub(crate) async fn pass(&self, by: Duration) {
        self.clock.advance(by.try_into().unwrap());
        self.jobs.tick().await.unwrap();
    }
}

fn links(jobs: &Jobs, issuer: &Issuer) -> [Link; 3] {
    let mut routes = Routes::builder();
    jobs.mount(&mut routes);
    let served = protect(routes.routes(), &AuthLayer::inside(issuer.verifier(), None));
    let link = |subject: &str, role| {
        Link::local(
            served.clone(),
            TokenSource::renewed(issuer.clone(), subject, role),
        )
    };
    [
        link("user:ada", Role::Administrator),
        link("worker:w", Role::Worker),
        link("worker:stranger", Role::Worker),
    ]
}

pub(crate) fn registration(id: &str) -> RegisterWorkerRequest {
    RegisterWorkerRequest {
        worker: Some(Worker {
            name: format!("workers/{id}"),
            resources: Some(plenty()),
            ..Worker::default()
        }),
    }
}

pub(crate) fn plenty() -> Resources {
    Resources {
        memory_bytes: 64 << 30,
        cpus: 64.0,
        gpus: 8,
        timeout: None,
    }
}

pub(crate) fn entrypoint() -> Entrypoint {
    let rate = ParameterSpec {
        r#type: "number".into(),
        default: Some(number(1.0)),
        description: String::new(),
    };
    Entrypoint {
        name: ENTRYPOINT.into(),
        app: Some(AppSpec {
            cmd: vec!["run".into(), "{params.rate}".into()],
            env: vec!["SEED".into()],
        }),
        handler: Some(HandlerSpec {
            image_url: String::new(),
            files_down: BTreeMap::from([("data_ids".into(), "data".into())]),
            files_up: BTreeMap::from([("output".into(), "output".into())]),
            ..HandlerSpec::default()
        }),
        resources: None,
        parameters: BTreeMap::from([("rate".into(), rate)]),
        update_time: None,
    }
}

pub(crate) fn number(number: f64) -> granary_proto::metadata::v1::Value {
    convert::wire_value(granary_core::value::Value::Number(number))
}

/// A request for the usual entrypoint; its input is empty if none is given.
pub(crate) fn request(job: Job) -> CreateJobRequest {
    let entrypoint = if job.entrypoint.is_empty() {
        ENTRYPOINT.into()
    } else {
        job.entrypoint.clone()
    };
    let inputs = if job.inputs.is_empty() {
        vec![Input {
            mapping: "data_ids".into(),
            ..Input::default()
        }]
    } else {
        job.inputs
    };
    CreateJobRequest {
        parent: PARENT.into(),
        job: Some(Job {
            entrypoint,
            inputs,
            ..job
        }),
        ..CreateJobRequest::default()
    }
}

pub(crate) fn name(lease: &Lease) -> String {
    lease.job.as_ref().unwrap().name.clone()
}

pub(crate) fn report(lease: &Lease) -> JobReport {
    JobReport {
        job: name(lease),
        lease_number: lease.lease_number,
        ..JobReport::default()
    }
}

pub(crate) fn success(lease: &Lease) -> JobFinish {
    JobFinish {
        job: name(lease),
        lease_number: lease.lease_number,
        ..JobFinish::default()
    }
}

pub(crate) fn failure(lease: &Lease, failure: FailureClass) -> JobFinish {
    JobFinish {
        failure: failure.into(),
        exit_code: -1,
        ..success(lease)
    }
}
