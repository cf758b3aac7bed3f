//! PipelineService.

use granary_core::{
    Error, Result,
    name::{PipelineName, ProjectName},
};
use granary_proto::pipeline::v1::{
    ApplyPipelineRequest, ApplyPipelineResponse, GetPipelineRequest, ListPipelinesRequest,
    ListPipelinesResponse, Pipeline, PipelineDefinition, PlanPipelineRequest, PlanPipelineResponse,
    pipeline_service_server::PipelineService,
};
use granary_runtime::rpc::{required, to_status};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::wire_time;
use crate::{pipeline::Pipelines, store::pipelines::PipelineRow};

/// Serves pipelines.
#[derive(Clone, Debug)]
pub(crate) struct PipelineHandler(pub(crate) Pipelines);

#[tonic::async_trait]
impl PipelineService for PipelineHandler {
    async fn apply_pipeline(
        &self,
        request: Request<ApplyPipelineRequest>,
    ) -> Result<Response<ApplyPipelineResponse>, Status> {
        self.apply(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn plan_pipeline(
        &self,
        request: Request<PlanPipelineRequest>,
    ) -> Result<Response<PlanPipelineResponse>, Status> {
        self.plan(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn get_pipeline(
        &self,
        request: Request<GetPipelineRequest>,
    ) -> Result<Response<Pipeline>, Status> {
        self.get(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    async fn list_pipelines(
        &self,
        request: Request<ListPipelinesRequest>,
    ) -> Result<Response<ListPipelinesResponse>, Status> {
        self.list(request.into_inner())
            .await
            .map(Response::new)
            .map_err(to_status)
    }
}

impl PipelineHandler {
    async fn apply(&self, request: ApplyPipelineRequest) -> Result<ApplyPipelineResponse> {
        let project =
            ProjectName::parse(&request.parent).map_err(|error| error.within("parent"))?;
        let definition = required("definition", request.definition)?;
        let (row, change) = self.0.apply(&project, &definition).await?;
        Ok(ApplyPipelineResponse {
            pipeline: Some(show(row)?),
            change: change as i32,
        })
    }

    async fn plan(&self, request: PlanPipelineRequest) -> Result<PlanPipelineResponse> {
        let project =
            ProjectName::parse(&request.parent).map_err(|error| error.within("parent"))?;
        let definition = required("definition", request.definition)?;
        let (change, planned) = self.0.plan(&project, &definition).await?;
        Ok(PlanPipelineResponse {
            change: change as i32,
            session: planned.session,
            steps: planned.steps,
        })
    }

    async fn get(&self, request: GetPipelineRequest) -> Result<Pipeline> {
        let name = PipelineName::parse(&request.name).map_err(|error| error.within("name"))?;
        show(self.0.get(&name).await?)
    }

    async fn list(&self, request: ListPipelinesRequest) -> Result<ListPipelinesResponse> {
        let project =
            ProjectName::parse(&request.parent).map_err(|error| error.within("parent"))?;
        let (rows, next_page_token) = self
            .0
            .list(&project, request.page_size, &request.page_token)
            .await?;
        Ok(ListPipelinesResponse {
            pipelines: rows.into_iter().map(show).collect::<Result<_>>()?,
            next_page_token,
        })
    }
}

fn show(row: PipelineRow) -> Result<Pipeline> {
    let definition = PipelineDefinition::decode(row.definition.as_slice())
        .map_err(|error| Error::internal("reading a stored definition", error))?;
    Ok(Pipeline {
        name: row.name.to_string(),
        version: row.version,
        definition: Some(definition),
        create_time: wire_time(row.create_time),
        update_time: wire_time(row.update_time),
    })
}
