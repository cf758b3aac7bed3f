//! UploadService.

use std::sync::Arc;

use granary_core::{
    Result,
    error::Violations,
    name::{DatasetName, SessionName, UploadName},
};
use granary_proto::storage::v1::{
    BatchCompleteUploadsRequest, BatchCompleteUploadsResponse, BatchCopyAssetsRequest,
    BatchCopyAssetsResponse, BatchCreateUploadsRequest, BatchCreateUploadsResponse,
    CompleteUploadRequest, GetUploadRequest, SignUploadPartsRequest, SignUploadPartsResponse,
    Upload, upload_service_server::UploadService,
};
use granary_runtime::rpc::{batch_size, to_status};
use tonic::{Request, Response, Status};

use super::convert::result;
use crate::{
    Core,
    upload::{Copy, Declared, PartToSign},
};

/// The handlers.
pub(crate) struct Uploads(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl UploadService for Uploads {
    async fn batch_create_uploads(
        &self,
        request: Request<BatchCreateUploadsRequest>,
    ) -> Result<Response<BatchCreateUploadsResponse>, Status> {
        let (session, files) = create(request.into_inner()).map_err(to_status)?;
        let uploads = self
            .0
            .create_uploads(&session, files)
            .await
            .map_err(to_status)?;
        Ok(Response::new(BatchCreateUploadsResponse {
            uploads: uploads.into_iter().map(Into::into).collect(),
        }))
    }

    async fn get_upload(
        &self,
        request: Request<GetUploadRequest>,
    ) -> Result<Response<Upload>, Status> {
        let name = upload("name", &request.into_inner().name).map_err(to_status)?;
        let upload = self.0.get_upload(&name).await.map_err(to_status)?;
        Ok(Response::new(upload.into()))
    }

    async fn sign_upload_parts(
        &self,
        request: Request<SignUploadPartsRequest>,
    ) -> Result<Response<SignUploadPartsResponse>, Status> {
        let request = request.into_inner();
        let name = upload("name", &request.name).map_err(to_status)?;
        let parts = PartToSign::all(request.parts).map_err(to_status)?;
        let requests = self.0.sign_parts(&name, &parts).await.map_err(to_status)?;
        Ok(Response::new(SignUploadPartsResponse {
            requests: requests.into_iter().map(Into::into).collect(),
        }))
    }

    async fn batch_complete_uploads(
        &self,
        request: Request<BatchCompleteUploadsRequest>,
    ) -> Result<Response<BatchCompleteUploadsResponse>, Status> {
        let (dataset, names) = complete(request.into_inner()).map_err(to_status)?;
        let results = self
            .0
            .complete_uploads(&dataset, &names)
            .await
            .map_err(to_status)?;
        let results = names
            .iter()
            .zip(results)
            .map(|(name, outcome)| result(name, outcome))
            .collect();
        Ok(Response::new(BatchCompleteUploadsResponse { results }))
    }

    async fn batch_copy_assets(
        &self,
        request: Request<BatchCopyAssetsRequest>,
    ) -> Result<Response<BatchCopyAssetsResponse>, Status> {
        let (session, copies) = copy(request.into_inner()).map_err(to_status)?;
        let assets = self
            .0
            .copy_assets(&session, &copies)
            .await
            .map_err(to_status)?;
        Ok(Response::new(BatchCopyAssetsResponse {
            assets: assets.iter().map(ToString::to_string).collect(),
        }))
    }
}

fn create(request: BatchCreateUploadsRequest) -> Result<(SessionName, Vec<Declared>)> {
    let session = session(&request.parent)?;
    let declared = Declared::all(&session, request.requests)?;
    Ok((session, declared))
}

fn copy(request: BatchCopyAssetsRequest) -> Result<(SessionName, Vec<Copy>)> {
    let session = session(&request.parent)?;
    let copies = Copy::all(&session, request.requests)?;
    Ok((session, copies))
}

fn complete(request: BatchCompleteUploadsRequest) -> Result<(DatasetName, Vec<UploadName>)> {
    let dataset = DatasetName::parse(&request.parent).map_err(|error| error.within("parent"))?;
    batch_size("requests", request.requests.len())?;
    let mut violations = Violations::default();
    let mut names = Vec::with_capacity(request.requests.len());
    for (index, CompleteUploadRequest { name }) in request.requests.into_iter().enumerate() {
        let field = format!("requests[{index}].name");
        let Some(name) = violations.check(upload(&field, &name))? else {
            continue;
        };
        if name.parent() != dataset {
            violations.add(field, format!("expected an upload of {dataset}"));
        }
        names.push(name);
    }
    violations.finish()?;
    Ok((dataset, names))
}

fn session(parent: &str) -> Result<SessionName> {
    SessionName::parse(parent).map_err(|error| error.within("parent"))
}

fn upload(field: &str, name: &str) -> Result<UploadName> {
    UploadName::parse(name).map_err(|error| error.within(field))
}
