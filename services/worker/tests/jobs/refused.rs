//! Workers whose token is wrong, or expires while they work.

use std::time::Duration;

use granary_core::Error;
use granary_proto::job::v1::{
    AcquireJobsRequest, AcquireJobsResponse, AppSpec, BatchFinishJobsRequest,
    BatchFinishJobsResponse, BatchReportJobsRequest, BatchReportJobsResponse, Entrypoint, Job,
    JobReportResult, Lease, ListWorkersRequest, ListWorkersResponse, RegisterWorkerRequest,
    Resources, Worker,
    worker_service_server::{WorkerService, WorkerServiceServer},
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    rpc::to_status,
    server::protect,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes};

/// What a service no longer takes from its worker, once it has given it a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    Questions,
    Reports,
    Ends,
}

/// A service whose one job is a program.
struct OneJob {
    program: &'static [&'static str],
    refused: Refused,
}

fn expired() -> Status {
    to_status(Error::Unauthenticated {
        reason: "the token has expired".into(),
    })
}

const MACHINE: Resources = Resources {
    memory_bytes: 8 << 30,
    cpus: 2.0,
    gpus: 0,
    timeout: None,
};

#[tonic::async_trait]
impl WorkerService for OneJob {
    async fn register_worker(
        &self,
        request: Request<RegisterWorkerRequest>,
    ) -> Result<Response<Worker>, Status> {
        let worker = request.into_inner().worker;
        Ok(Response::new(worker.unwrap_or_default()))
    }

    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        Ok(Response::new(ListWorkersResponse::default()))
    }

    async fn acquire_jobs(
        &self,
        request: Request<AcquireJobsRequest>,
    ) -> Result<Response<AcquireJobsResponse>, Status> {
        let free = request.into_inner().free.unwrap_or_default();
        if free.cpus < MACHINE.cpus {
            // The job runs, and there is no other.
            return match self.refused {
                Refused::Questions => Err(expired()),
                _ => std::future::pending().await,
            };
        }
        let app = AppSpec {
            cmd: self.program.iter().map(ToString::to_string).collect(),
            env: vec![],
        };
        let lease = Lease {
            job: Some(Job {
                name: "projects/default/jobs/j".into(),
                resources: Some(Resources {
                    memory_bytes: 256 << 20,
                    cpus: 1.0,
                    ..MACHINE
                }),
                ..Job::default()
            }),
            entrypoint: Some(Entrypoint {
                app: Some(app),
                ..Entrypoint::default()
            }),
            lease_number: 1,
            attempt: 1,
            expire_time: None,
        };
        Ok(Response::new(AcquireJobsResponse {
            leases: vec![lease],
            report_interval: None,
        }))
    }

    async fn batch_report_jobs(
        &self,
        request: Request<BatchReportJobsRequest>,
    ) -> Result<Response<BatchReportJobsResponse>, Status> {
        if self.refused == Refused::Reports {
            return Err(expired());
        }
        let reports = request.into_inner().reports;
        let results = reports.iter().map(|_| JobReportResult::default()).collect();
        Ok(Response::new(BatchReportJobsResponse { results }))
    }

    async fn batch_finish_jobs(
        &self,
        _: Request<BatchFinishJobsRequest>,
    ) -> Result<Response<BatchFinishJobsResponse>, Status> {
        Err(expired())
    }
}

/// Runs a worker with a token of `own` on a service that trusts `issuer` until it ends by itself; why it did.
async fn end_of_worker(service: OneJob, slots: usize, issuer: &Issuer, own: &Issuer) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let mut routes = Routes::builder();
    routes.add_service(WorkerServiceServer::new(service));
    let link = Link::local(
        protect(routes.routes(), &AuthLayer::inside(issuer.verifier(), None)),
        TokenSource::renewed(own.clone(), "w", Role::Worker),
    );
    let options = granary_worker::Options {
        name: "w".into(),
        folder: folder.path().join("work"),
        resources: MACHINE,
        slots,
        max_output_bytes: 1 << 20,
    };
    let run = options.run(link.clone(), link.clone(), link, CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(60), run)
        .await
        .expect("the worker goes on as if nothing had happened")
        .unwrap_err()
}

fn assert_refused(error: &Error, why: &str) {
    let said = format!("the job service refuses this worker: {why}");
    assert!(
        matches!(error, Error::Unauthenticated { reason } if reason.starts_with(&said)),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_ends_the_worker_at_once() {
    let service = OneJob {
        program: &["true"],
        refused: Refused::Questions,
    };
    let (issuer, other) = (Issuer::ephemeral().unwrap(), Issuer::ephemeral().unwrap());
    let error = end_of_worker(service, 1, &issuer, &other).await;
    assert_refused(&error, "the token is missing, wrong or expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_ends_the_worker_whatever_it_does() {
    let issuer = Issuer::ephemeral().unwrap();
    for (refused, slots, program) in [
        (Refused::Questions, 2, ["sleep", "300"].as_slice()),
        // With no slot free it asks for nothing: only what it says of its job tells it.
        (Refused::Reports, 1, &["sleep", "300"]),
        (Refused::Ends, 1, &["true"]),
    ] {
        let service = OneJob { program, refused };
        let error = end_of_worker(service, slots, &issuer, &issuer).await;
        assert_refused(&error, "the token has expired");
    }
}
