//! RunService.

use futures::StreamExt as _;
use granary_core::{Error, Result, name::RunName};
use granary_proto::pipeline::v1::{
    GetRunRequest, ListRunsRequest, ListRunsResponse, ListStepResultsRequest,
    ListStepResultsResponse, Run, StepOutcome, WatchRunRequest, run_service_server::RunService,
};
use granary_runtime::rpc::to_status;
use tonic::{Request, Response, Status};

use super::wire_time;
use crate::{
    run::Runs,
    store::runs::{RunRow, RunScope},
};

/// Serves runs.
#[derive(Clone, Debug)]
pub(crate) struct RunHandler(pub(crate) Runs);

#[tonic::async_trait]
impl RunService for RunHandler {
    type WatchRunStream = futures::stream::BoxStream<'static, Result<Run, Status>>;

    async fn get_run(&self, request: Request<GetRunRequest>) -> Result<Response<Run>, Status> {
        self.get(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        self.list(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        self.watch(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn list_step_results(
        &self,
        request: Request<ListStepResultsRequest>,
    ) -> Result<Response<ListStepResultsResponse>, Status> {
        self.results(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }
}

impl RunHandler {
    async fn get(&self, request: GetRunRequest) -> Result<Run> {
        let name = RunName::parse(&request.name).map_err(|error| error.within("name"))?;
        self.0.get(&name).await.map(show)
    }

    async fn list(&self, request: ListRunsRequest) -> Result<ListRunsResponse> {
        let scope = RunScope::parse(&request.parent, &request.session)?;
        let (rows, next_page_token) = self
            .0
            .list(&scope, request.page_size, &request.page_token)
            .await?;
        Ok(ListRunsResponse {
            runs: rows.into_iter().map(show).collect(),
            next_page_token,
        })
    }

    async fn watch(
        &self,
        request: WatchRunRequest,
    ) -> Result<<Self as RunService>::WatchRunStream> {
        let name = RunName::parse(&request.name).map_err(|error| error.within("name"))?;
        let runs = self.0.watch(name).await?;
        Ok(runs.map(|run| run.map(show).map_err(to_status)).boxed())
    }

    async fn results(&self, request: ListStepResultsRequest) -> Result<ListStepResultsResponse> {
        let name = RunName::parse(&request.parent).map_err(|error| error.within("parent"))?;
        let outcome = StepOutcome::try_from(request.outcome).map_err(|_| {
            Error::invalid(
                "outcome",
                format!("expected 1 to 3, or 0 for all, got {}", request.outcome),
            )
        })?;
        let (results, next_page_token) = self
            .0
            .results(&name, outcome, request.page_size, &request.page_token)
            .await?;
        Ok(ListStepResultsResponse {
            results,
            next_page_token,
        })
    }
}

fn show(row: RunRow) -> Run {
    Run {
        name: row.name.to_string(),
        version: row.version,
        session: row.session.to_string(),
        state: row.state as i32,
        asset_count: row.counts.assets,
        done_count: row.counts.done,
        rejected_count: row.counts.rejected,
        cached_count: row.counts.cached,
        worked_count: row.counts.worked,
        error: row.error,
        create_time: wire_time(row.create_time),
        start_time: wire_time(row.start_time),
        finish_time: wire_time(row.finish_time),
        trace_parent: row.trace,
    }
}
