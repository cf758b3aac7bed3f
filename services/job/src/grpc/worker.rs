//! `granary.job.v1.WorkerService`.

use std::{sync::Arc, time::Duration};

use granary_core::{
    Error, Result, clock,
    name::{WorkerName, quote},
};
use granary_proto::{
    convert,
    job::v1::{
        AcquireJobsRequest, AcquireJobsResponse, BatchFinishJobsRequest, BatchFinishJobsResponse,
        BatchReportJobsRequest, BatchReportJobsResponse, JobFinish, JobFinishResult, JobReport,
        JobReportResult, JobState, ListWorkersRequest, ListWorkersResponse, RegisterWorkerRequest,
        Worker, worker_service_server::WorkerService,
    },
};
use granary_runtime::{
    auth::Principal,
    rpc::{batch_size, caller, required, to_item, to_status},
};
use tonic::{Request, Response, Status};

use super::batch;
use crate::{
    Inner,
    queue::{
        acquire,
        finish::Finish,
        report::{Answer, Report},
    },
    state::State,
    worker,
};

const MAX_WAIT: Duration = Duration::from_secs(60);

pub(crate) struct Workers(pub Arc<Inner>);

/// Whose worker calls.
struct Owner {
    /// The issuer and the subject of its token, or the project of its key: a worker's name belongs to them.
    identity: Arc<str>,
    /// The project whose jobs it may run; all if none.
    project: Option<Arc<str>>,
}

fn owner<T>(request: &Request<T>) -> Result<Owner, Status> {
    let caller = caller(request)?;
    let Principal {
        issuer, subject, ..
    } = &caller.principal;
    // The keys of a project stand for the same machines: a new one takes over the workers of the one before.
    let identity = match caller.principal.home() {
        Some(project) => format!("{issuer} projects/{project}"),
        None => format!("{issuer} {subject}"),
    };
    Ok(Owner {
        identity: identity.into(),
        project: caller.project,
    })
}

/// Whether a job may be spoken of: those of other projects are not there.
fn seen(project: Option<&str>, job: &str) -> Result<()> {
    let is_in = |project| {
        let rest = job
            .strip_prefix("projects/")
            .and_then(|rest| rest.strip_prefix(project));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    if project.is_none_or(is_in) {
        return Ok(());
    }
    Err(Error::not_found(quote(job)))
}

impl Workers {
    async fn named(&self, identity: Arc<str>, name: &str) -> Result<WorkerName> {
        let name = WorkerName::parse(name).map_err(|error| error.within("name"))?;
        worker::heard(&self.0.core, &self.0.heartbeats, &name, identity).await?;
        Ok(name)
    }

    async fn register(&self, owner: Owner, request: RegisterWorkerRequest) -> Result<Worker> {
        let asked = required("worker", request.worker)?;
        for held in &asked.held {
            seen(owner.project.as_deref(), &held.job)?;
        }
        worker::register(&self.0.core, &self.0.heartbeats, owner.identity, asked).await
    }

    async fn acquire(
        &self,
        owner: Owner,
        request: AcquireJobsRequest,
    ) -> Result<AcquireJobsResponse> {
        let name = self.named(owner.identity, &request.name).await?;
        let fit = worker::fit(&name, owner.project, &request)?;
        let wait = convert::duration("wait", request.wait.unwrap_or_default())?;
        if wait > MAX_WAIT {
            return Err(Error::invalid(
                "wait",
                format!("expected at most 60 s, got {} s", wait.as_secs()),
            ));
        }
        let leases = acquire::acquire(&self.0.core, &self.0.acquire, fit, wait).await?;
        // Often enough that a cancelled job learns of it within seconds.
        let interval = (self.0.core.lease / 6).min(Duration::from_secs(2));
        Ok(AcquireJobsResponse {
            leases,
            report_interval: Some(convert::wire_duration(interval)),
        })
    }

    async fn report(
        &self,
        owner: Owner,
        request: BatchReportJobsRequest,
    ) -> Result<BatchReportJobsResponse> {
        let Owner { identity, project } = owner;
        let name = self.named(identity, &request.name).await?;
        if request.reports.is_empty() {
            return Ok(BatchReportJobsResponse::default());
        }
        batch_size("reports", request.reports.len())?;
        let take = |reports| self.0.report.call((name.worker, reports));
        let job = |report: &JobReport| report.job.clone();
        let parse = |report: JobReport| {
            seen(project.as_deref(), &report.job)?;
            Report::parse(report)
        };
        let results = batch::each("reports", request.reports, job, parse, take).await?;
        Ok(BatchReportJobsResponse {
            results: results.into_iter().map(reported).collect(),
        })
    }

    async fn finish(
        &self,
        owner: Owner,
        request: BatchFinishJobsRequest,
    ) -> Result<BatchFinishJobsResponse> {
        let Owner { identity, project } = owner;
        let name = self.named(identity, &request.name).await?;
        batch_size("finishes", request.finishes.len())?;
        let take = |finishes| self.0.finish.call((name.worker, finishes));
        let job = |finish: &JobFinish| finish.job.clone();
        let parse = |finish: JobFinish| {
            seen(project.as_deref(), &finish.job)?;
            Finish::parse(finish)
        };
        let results = batch::each("finishes", request.finishes, job, parse, take).await?;
        Ok(BatchFinishJobsResponse {
            results: results.into_iter().map(finished).collect(),
        })
    }
}

fn reported((job, result): (String, Result<Answer>)) -> JobReportResult {
    match result {
        Ok(answer) => JobReportResult {
            job,
            cancel: answer.cancel,
            expire_time: Some(convert::timestamp(clock::from_micros(answer.expires))),
            error: None,
        },
        Err(error) => JobReportResult {
            job,
            error: Some(to_item(error)),
            ..JobReportResult::default()
        },
    }
}

fn finished((job, result): (String, Result<State>)) -> JobFinishResult {
    match result {
        Ok(state) => JobFinishResult {
            job,
            state: JobState::from(state).into(),
            error: None,
        },
        Err(error) => JobFinishResult {
            job,
            error: Some(to_item(error)),
            ..JobFinishResult::default()
        },
    }
}

#[tonic::async_trait]
impl WorkerService for Workers {
    async fn register_worker(
        &self,
        request: Request<RegisterWorkerRequest>,
    ) -> Result<Response<Worker>, Status> {
        let owner = owner(&request)?;
        self.register(owner, request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn list_workers(
        &self,
        request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let ListWorkersRequest {
            page_size,
            page_token,
        } = request.into_inner();
        Ok(Response::new(
            worker::list(&self.0.core, page_size, &page_token)
                .await
                .map_err(to_status)?,
        ))
    }

    async fn acquire_jobs(
        &self,
        request: Request<AcquireJobsRequest>,
    ) -> Result<Response<AcquireJobsResponse>, Status> {
        let owner = owner(&request)?;
        self.acquire(owner, request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn batch_report_jobs(
        &self,
        request: Request<BatchReportJobsRequest>,
    ) -> Result<Response<BatchReportJobsResponse>, Status> {
        let owner = owner(&request)?;
        self.report(owner, request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn batch_finish_jobs(
        &self,
        request: Request<BatchFinishJobsRequest>,
    ) -> Result<Response<BatchFinishJobsResponse>, Status> {
        let owner = owner(&request)?;
        self.finish(owner, request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }
}
