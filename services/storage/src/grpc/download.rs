//! DownloadService.

use std::sync::Arc;

use granary_core::{
    Result,
    error::Violations,
    name::{AssetName, ProjectName},
};
use granary_proto::storage::v1::{
    BatchCreateDownloadsRequest, BatchCreateDownloadsResponse,
    download_service_server::DownloadService,
};
use granary_runtime::rpc::{batch_size, to_status};
use tonic::{Request, Response, Status};

use crate::Core;

/// The handlers.
pub(crate) struct Downloads(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl DownloadService for Downloads {
    async fn batch_create_downloads(
        &self,
        request: Request<BatchCreateDownloadsRequest>,
    ) -> Result<Response<BatchCreateDownloadsResponse>, Status> {
        let (project, names) = parse(&request.into_inner()).map_err(to_status)?;
        let downloads = self
            .0
            .create_downloads(&project, &names)
            .await
            .map_err(to_status)?;
        Ok(Response::new(BatchCreateDownloadsResponse {
            downloads: downloads.into_iter().map(Into::into).collect(),
        }))
    }
}

fn parse(request: &BatchCreateDownloadsRequest) -> Result<(ProjectName, Vec<AssetName>)> {
    let project = ProjectName::parse(&request.parent).map_err(|error| error.within("parent"))?;
    batch_size("assets", request.assets.len())?;
    let mut violations = Violations::default();
    let mut names = Vec::with_capacity(request.assets.len());
    for (index, text) in request.assets.iter().enumerate() {
        let field = format!("assets[{index}]");
        let Some(name) =
            violations.check(AssetName::parse(text).map_err(|error| error.within(&field)))?
        else {
            continue;
        };
        if name.project != project.project {
            violations.add(field, format!("expected an asset of {project}"));
        }
        names.push(name);
    }
    violations.finish()?;
    Ok((project, names))
}
