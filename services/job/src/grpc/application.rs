//! `granary.job.v1.ApplicationService`.

use std::sync::Arc;

use granary_core::name::EntrypointName;
use granary_proto::job::v1::{
    ApplyCatalogRequest, ApplyCatalogResponse, Entrypoint, GetEntrypointRequest,
    ListEntrypointsRequest, ListEntrypointsResponse,
    application_service_server::ApplicationService,
};
use granary_runtime::rpc::to_status;
use tonic::{Request, Response, Status};

use crate::{
    Inner,
    catalog::{self, Others},
};

pub(crate) struct Applications(pub Arc<Inner>);

#[tonic::async_trait]
impl ApplicationService for Applications {
    async fn apply_catalog(
        &self,
        request: Request<ApplyCatalogRequest>,
    ) -> Result<Response<ApplyCatalogResponse>, Status> {
        let ApplyCatalogRequest {
            entrypoints,
            validate_only,
            prune,
        } = request.into_inner();
        let others = if prune { Others::Go } else { Others::Stay };
        let core = &self.0.core;
        let answer = catalog::apply(&core.db, core.now(), entrypoints, others, validate_only)
            .await
            .map_err(to_status)?;
        Ok(Response::new(answer))
    }

    async fn get_entrypoint(
        &self,
        request: Request<GetEntrypointRequest>,
    ) -> Result<Response<Entrypoint>, Status> {
        let name = EntrypointName::parse(&request.into_inner().name)
            .map_err(|error| to_status(error.within("name")))?;
        let found = catalog::get(&self.0.core.db, &self.0.core.definitions, &name)
            .await
            .map_err(to_status)?;
        Ok(Response::new(found))
    }

    async fn list_entrypoints(
        &self,
        request: Request<ListEntrypointsRequest>,
    ) -> Result<Response<ListEntrypointsResponse>, Status> {
        let ListEntrypointsRequest {
            parent,
            page_size,
            page_token,
        } = request.into_inner();
        let core = &self.0.core;
        let page = catalog::list(&core.db, &core.definitions, &parent, page_size, &page_token)
            .await
            .map_err(to_status)?;
        Ok(Response::new(page))
    }
}
