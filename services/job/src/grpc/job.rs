//! `granary.job.v1.JobService`.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use granary_core::name::JobName;
use granary_proto::job::v1::{
    CancelJobRequest, CreateJobRequest, GetJobRequest, Job, ListJobsRequest, ListJobsResponse,
    StreamJobLogsRequest, StreamJobLogsResponse, WatchJobRequest, job_service_server::JobService,
};
use granary_runtime::rpc::{principal, to_status};
use tonic::{Request, Response, Status};

use crate::{Inner, job, stream};

pub(crate) struct JobsApi(pub Arc<Inner>);

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn parse(name: &str) -> Result<JobName, Status> {
    JobName::parse(name).map_err(|error| to_status(error.within("name")))
}

#[tonic::async_trait]
impl JobService for JobsApi {
    type WatchJobStream = Streamed<Job>;
    type StreamJobLogsStream = Streamed<StreamJobLogsResponse>;

    async fn create_job(
        &self,
        request: Request<CreateJobRequest>,
    ) -> Result<Response<Job>, Status> {
        let author = principal(&request)?.subject;
        let created = job::create(&self.0, &author, request.into_inner())
            .await
            .map_err(to_status)?;
        Ok(Response::new(created))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<Job>, Status> {
        let name = parse(&request.into_inner().name)?;
        Ok(Response::new(
            job::get_with_reason(&self.0.core, &name)
                .await
                .map_err(to_status)?,
        ))
    }

    async fn list_jobs(
        &self,
        request: Request<ListJobsRequest>,
    ) -> Result<Response<ListJobsResponse>, Status> {
        let page = job::list(&self.0.core, &request.into_inner())
            .await
            .map_err(to_status)?;
        Ok(Response::new(page))
    }

    async fn cancel_job(
        &self,
        request: Request<CancelJobRequest>,
    ) -> Result<Response<Job>, Status> {
        let name = parse(&request.into_inner().name)?;
        Ok(Response::new(
            job::cancel(&self.0.core, &name).await.map_err(to_status)?,
        ))
    }

    async fn watch_job(
        &self,
        request: Request<WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let name = parse(&request.into_inner().name)?;
        let changes = stream::watch(self.0.clone(), name)
            .await
            .map_err(to_status)?;
        Ok(Response::new(Box::pin(
            changes.map(|job| job.map_err(to_status)),
        )))
    }

    async fn stream_job_logs(
        &self,
        request: Request<StreamJobLogsRequest>,
    ) -> Result<Response<Self::StreamJobLogsStream>, Status> {
        let StreamJobLogsRequest {
            name,
            attempt,
            offset,
            follow,
        } = request.into_inner();
        let follow = stream::Follow {
            name: parse(&name)?,
            attempt: attempt.into(),
            offset,
            follow,
        };
        let pieces = stream::read(self.0.clone(), follow)
            .await
            .map_err(to_status)?;
        Ok(Response::new(Box::pin(
            pieces.map(|piece| piece.map_err(to_status)),
        )))
    }
}
