//! `granary.job.v1.WorkerService`.

use std::{sync::Arc, time::Duration};

use granary_core::{Error, Result, clock, name::WorkerName};
use granary_proto::{
    convert,
    job::v1::{
        AcquireJobsRequest, AcquireJobsResponse, BatchFinishJobsRequest, BatchFinishJobsResponse,
        BatchReportJobsRequest, BatchReportJobsResponse, JobFinishResult, JobReportResult,
        JobState, ListWorkersRequest, ListWorkersResponse, RegisterWorkerRequest, Worker,
        worker_service_server::WorkerService,
    },
};
use granary_runtime::rpc::{batch_size, required, to_item, to_status};
use tonic::{Request, Response, Status};

use crate::{
    Inner,
    queue::{acquire, finish::Finish, report::Report},
    worker,
};

const MAX_WAIT: Duration = Duration::from_secs(60);

pub(crate) struct Workers(pub Arc<Inner>);

impl Workers {
    async fn caller(&self, name: &str) -> Result<WorkerName> {
        let name = WorkerName::parse(name).map_err(|error| error.within("name"))?;
        worker::heard(&self.0.core, &self.0.heartbeats, &name).await?;
        Ok(name)
    }

    async fn acquire(&self, request: AcquireJobsRequest) -> Result<AcquireJobsResponse> {
        let name = self.caller(&request.name).await?;
        let fit = worker::fit(&name, &request)?;
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

    async fn report(&self, request: BatchReportJobsRequest) -> Result<BatchReportJobsResponse> {
        let name = self.caller(&request.name).await?;
        if request.reports.is_empty() {
            return Ok(BatchReportJobsResponse::default());
        }
        batch_size("reports", request.reports.len())?;
        let jobs: Vec<String> = request
            .reports
            .iter()
            .map(|report| report.job.clone())
            .collect();
        let (good, places) = parse(request.reports, "reports", Report::parse);
        let mut answers = if good.is_empty() {
            Vec::new()
        } else {
            self.0.report.call((name.worker, good)).await?
        }
        .into_iter();
        let results = jobs.into_iter().zip(places).map(|(job, place)| {
            match place.and_then(|()| answers.next().unwrap_or_else(|| Err(missing()))) {
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
        });
        Ok(BatchReportJobsResponse {
            results: results.collect(),
        })
    }

    async fn finish(&self, request: BatchFinishJobsRequest) -> Result<BatchFinishJobsResponse> {
        let name = self.caller(&request.name).await?;
        batch_size("finishes", request.finishes.len())?;
        let jobs: Vec<String> = request
            .finishes
            .iter()
            .map(|finish| finish.job.clone())
            .collect();
        let (good, places) = parse(request.finishes, "finishes", Finish::parse);
        let mut answers = if good.is_empty() {
            Vec::new()
        } else {
            self.0.finish.call((name.worker, good)).await?
        }
        .into_iter();
        let results = jobs.into_iter().zip(places).map(|(job, place)| {
            match place.and_then(|()| answers.next().unwrap_or_else(|| Err(missing()))) {
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
        });
        Ok(BatchFinishJobsResponse {
            results: results.collect(),
        })
    }
}

/// The items that are right, and for each item whether it is: one that is wrong must not stop the others.
fn parse<I, O>(
    items: Vec<I>,
    field: &str,
    one: impl Fn(I) -> Result<O>,
) -> (Vec<O>, Vec<Result<()>>) {
    let mut good = Vec::with_capacity(items.len());
    let places = items
        .into_iter()
        .enumerate()
        .map(|(i, item)| {
            one(item)
                .map(|item| good.push(item))
                .map_err(|error| error.within(&format!("{field}[{i}]")))
        })
        .collect();
    (good, places)
}

fn missing() -> Error {
    Error::Internal {
        context: "answering a batch".into(),
        cause: None,
    }
}

#[tonic::async_trait]
impl WorkerService for Workers {
    async fn register_worker(
        &self,
        request: Request<RegisterWorkerRequest>,
    ) -> Result<Response<Worker>, Status> {
        let asked = required("worker", request.into_inner().worker).map_err(to_status)?;
        let registered = worker::register(&self.0.core, &self.0.heartbeats, asked)
            .await
            .map_err(to_status)?;
        Ok(Response::new(registered))
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
        self.acquire(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn batch_report_jobs(
        &self,
        request: Request<BatchReportJobsRequest>,
    ) -> Result<Response<BatchReportJobsResponse>, Status> {
        self.report(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn batch_finish_jobs(
        &self,
        request: Request<BatchFinishJobsRequest>,
    ) -> Result<Response<BatchFinishJobsResponse>, Status> {
        self.finish(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }
}
