//! Workers with the key of a project, who get its jobs and no others.

use granary_proto::{
    identity::v1::ProjectRole,
    job::v1::{
        AcquireJobsRequest, AppSpec, ApplyCatalogRequest, BatchReportJobsRequest, CreateJobRequest,
        Entrypoint, GetJobRequest, Job, JobReport, JobState, RegisterWorkerRequest, Resources,
        StreamJobLogsRequest, WatchJobRequest, Worker,
        application_service_client::ApplicationServiceClient, job_service_client::JobServiceClient,
        worker_service_client::WorkerServiceClient,
    },
};
use granary_runtime::{Link, auth::TokenSource};
use tonic::{Code, transport::Endpoint};

use crate::world::{PROJECT, World};

const ENTRYPOINT: &str = "applications/any/versions/v1/entrypoints/run";
/// More than the platform's own worker has.
pub(crate) const MUCH: Resources = Resources {
    memory_bytes: 1 << 46,
    cpus: 1.0,
    gpus: 0,
    timeout: None,
};

/// Has a job `j` wait in projects, that nobody can run.
pub(crate) async fn queue(world: &World, projects: &[&str]) {
    let entrypoint = Entrypoint {
        name: ENTRYPOINT.into(),
        app: Some(AppSpec {
            cmd: vec!["true".into()],
            ..AppSpec::default()
        }),
        resources: Some(MUCH),
        ..Entrypoint::default()
    };
    let request = ApplyCatalogRequest {
        entrypoints: vec![entrypoint],
        ..ApplyCatalogRequest::default()
    };
    let mut applications = ApplicationServiceClient::new(world.node.link());
    applications.apply_catalog(request).await.unwrap();
    for project in projects {
        let request = CreateJobRequest {
            parent: format!("projects/{project}"),
            job: Some(Job {
                entrypoint: ENTRYPOINT.into(),
                ..Job::default()
            }),
            job_id: "j".into(),
            ..CreateJobRequest::default()
        };
        let mut jobs = JobServiceClient::new(world.node.link());
        jobs.create_job(request).await.unwrap();
    }
}

/// A worker `truck` with a new key of the project.
async fn truck(world: &World) -> Link {
    let token = TokenSource::fixed(&world.key(ProjectRole::Worker).await).unwrap();
    let endpoint = Endpoint::from_shared(world.node.endpoint()).unwrap();
    let key = Link::remote(endpoint.connect().await.unwrap(), token);
    let worker = Worker {
        name: "workers/truck".into(),
        resources: Some(MUCH),
        ..Worker::default()
    };
    let request = RegisterWorkerRequest {
        worker: Some(worker),
    };
    let mut workers = WorkerServiceClient::new(key.clone());
    workers.register_worker(request).await.unwrap();
    key
}

#[tokio::test]
async fn a_key_of_a_project_gets_its_jobs_and_no_others() {
    let world = World::start().await;
    world.project("theirs").await;
    queue(&world, &["theirs", PROJECT]).await;
    let mut workers = WorkerServiceClient::new(truck(&world).await);
    let acquire = AcquireJobsRequest {
        name: "workers/truck".into(),
        max_jobs: 10,
        free: Some(MUCH),
        ..AcquireJobsRequest::default()
    };
    let answer = workers.acquire_jobs(acquire).await.unwrap().into_inner();
    let leases = answer.leases.into_iter();
    let names: Vec<_> = leases.map(|lease| lease.job.unwrap().name).collect();
    assert_eq!(names, [format!("projects/{PROJECT}/jobs/j")]);
}

#[tokio::test]
async fn for_a_key_jobs_of_other_projects_are_not_there() {
    let world = World::start().await;
    world.project("theirs").await;
    queue(&world, &["theirs"]).await;
    let key = truck(&world).await;
    let of_others = ["projects/theirs/jobs/j", "projects/theirs/jobs/nothing"];
    let report = |job: &str| JobReport {
        job: job.to_owned(),
        lease_number: 1,
        state: JobState::Running.into(),
        ..JobReport::default()
    };
    let request = BatchReportJobsRequest {
        name: "workers/truck".into(),
        reports: of_others.map(report).to_vec(),
    };
    let mut workers = WorkerServiceClient::new(key.clone());
    let answer = workers.batch_report_jobs(request).await.unwrap();
    for (result, job) in answer.into_inner().results.into_iter().zip(of_others) {
        let error = result.error.unwrap();
        assert_eq!(error.code, i32::from(Code::NotFound));
        assert_eq!(error.message, format!("{job:?} not found"));
    }
    let (mut jobs, name) = (JobServiceClient::new(key), of_others[0].to_owned());
    let get = jobs.get_job(GetJobRequest { name: name.clone() }).await;
    assert_eq!(get.unwrap_err().code(), Code::NotFound);
    let request = WatchJobRequest { name: name.clone() };
    let watched = jobs.watch_job(request).await.map(drop);
    assert_eq!(watched.unwrap_err().code(), Code::NotFound);
    let request = StreamJobLogsRequest {
        name,
        ..StreamJobLogsRequest::default()
    };
    let logs = jobs.stream_job_logs(request).await.map(drop);
    assert_eq!(logs.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_new_key_takes_over_the_workers_of_the_one_before() {
    let world = World::start().await;
    for _ in 0..2 {
        truck(&world).await;
    }
}
