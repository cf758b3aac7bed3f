//! RunService.

use granary_core::{
    Error, Result,
    name::{RunName, SessionName},
    page,
};
use granary_proto::pipeline::v1::{
    GetRunRequest, ListRunsRequest, ListRunsResponse, ListStepResultsRequest,
    ListStepResultsResponse, Run, StepOutcome, WatchRunRequest, run_service_server::RunService,
};
use granary_runtime::{rpc::to_status, task::Tasks};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::wire_time;
use crate::{
    run::{PipelineScope, Runs},
    store::runs::{RunRow, RunScope},
};

/// Serves runs.
#[derive(Clone, Debug)]
pub(crate) struct RunHandler {
    pub(crate) runs: Runs,
    pub(crate) tasks: Tasks,
}

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
        self.runs.get(&name).await.map(show)
    }

    async fn list(&self, request: ListRunsRequest) -> Result<ListRunsResponse> {
        let parent =
            PipelineScope::parse(&request.parent).map_err(|error| error.within("parent"))?;
        let session = match request.session.as_str() {
            "" => None,
            text => Some(SessionName::parse(text).map_err(|error| error.within("session"))?),
        };
        let size = page::size(request.page_size)?;
        let question = ["runs", &request.parent, &request.session];
        let before: String = page::decode(&question, &request.page_token)?.unwrap_or_default();
        let scope = RunScope {
            project: &parent.project,
            pipeline: parent.pipeline.as_deref(),
            session: session.as_ref(),
        };
        let mut rows = self.runs.list(&scope, &before, size + 1).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let next_page_token = match rows.last() {
            Some(last) if more => page::encode(&question, &last.name.run)?,
            _ => String::new(),
        };
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
        self.runs.get(&name).await?;
        let (send, receive) = mpsc::channel(1);
        let (runs, stop) = (self.runs.clone(), self.tasks.stopping());
        self.tasks.spawn("pipeline-watch", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = runs.watch(name, send) => {}
            }
        });
        Ok(Box::pin(
            ReceiverStream::new(receive).map(|run| run.map(show).map_err(to_status)),
        ))
    }

    async fn results(&self, request: ListStepResultsRequest) -> Result<ListStepResultsResponse> {
        let name = RunName::parse(&request.parent).map_err(|error| error.within("parent"))?;
        let outcome = StepOutcome::try_from(request.outcome).map_err(|_| {
            Error::invalid(
                "outcome",
                format!("expected 1 to 3, or 0 for all, got {}", request.outcome),
            )
        })?;
        let size = page::size(request.page_size)?;
        let question = ["results", &request.parent, outcome.as_str_name()];
        let from = page::decode(&question, &request.page_token)?.unwrap_or_default();
        let (results, next) = self.runs.results(&name, outcome, from, size).await?;
        let next_page_token = next
            .map(|next| page::encode(&question, &next))
            .transpose()?
            .unwrap_or_default();
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
    }
}
