//! A pipeline service.

use granary_core::name::SessionName;
use granary_proto::pipeline::v1::{
    ApplyPipelineRequest, ApplyPipelineResponse, ListRunsRequest, ListStepResultsRequest, Run,
    StepResult, WatchRunRequest, pipeline_service_client::PipelineServiceClient,
    run_service_client::RunServiceClient,
};
use granary_runtime::{Link, task::Tasks};
use tonic::Status;

use super::{PATIENCE, definition, project};

/// A pipeline service and how to call it.
pub struct Service {
    pub link: Link,
    pub(super) tasks: Tasks,
}

impl Service {
    pub fn pipelines(&self) -> PipelineServiceClient<Link> {
        PipelineServiceClient::new(self.link.clone())
    }

    pub fn runs(&self) -> RunServiceClient<Link> {
        RunServiceClient::new(self.link.clone())
    }

    pub async fn try_apply(&self, yaml: &str) -> Result<ApplyPipelineResponse, Status> {
        let request = ApplyPipelineRequest {
            parent: project().to_string(),
            definition: Some(definition(yaml)),
        };
        self.pipelines()
            .apply_pipeline(request)
            .await
            .map(|response| response.into_inner())
    }

    pub async fn apply(&self, yaml: &str) -> ApplyPipelineResponse {
        self.try_apply(yaml).await.unwrap()
    }

    /// The runs on a session, the newest first.
    pub async fn runs_on(&self, session: &SessionName) -> Vec<Run> {
        let request = ListRunsRequest {
            parent: "projects/default/pipelines/-".into(),
            session: session.to_string(),
            ..Default::default()
        };
        self.runs()
            .list_runs(request)
            .await
            .unwrap()
            .into_inner()
            .runs
    }

    /// The one run on a session, once it has ended.
    pub async fn ended(&self, session: &SessionName) -> Run {
        let runs = self.runs_on(session).await;
        assert_eq!(runs.len(), 1, "{runs:?}");
        self.end_of(&runs[0].name).await
    }

    /// A run, once it has ended.
    pub async fn end_of(&self, name: &str) -> Run {
        let request = WatchRunRequest { name: name.into() };
        let mut states = self.runs().watch_run(request).await.unwrap().into_inner();
        let wait = async {
            let mut last = None;
            while let Some(run) = states.message().await.unwrap() {
                last = Some(run);
            }
            last.unwrap()
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{name} did not end"))
    }

    pub async fn results(&self, run: &str) -> Vec<StepResult> {
        let request = ListStepResultsRequest {
            parent: run.into(),
            page_size: 1000,
            ..Default::default()
        };
        self.runs()
            .list_step_results(request)
            .await
            .unwrap()
            .into_inner()
            .results
    }

    pub async fn stop(self) {
        assert!(self.tasks.drain(PATIENCE).await);
    }
}
