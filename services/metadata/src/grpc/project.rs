//! ProjectService.

use granary_core::name::ProjectName;
use granary_proto::metadata::v1::{
    CreateProjectRequest, GetProjectRequest, ListProjectsRequest, ListProjectsResponse,
    Project as WireProject, project_service_server::ProjectService,
};
use tonic::{Request, Response, Status};

use super::{name, paged, paging, reply, time, with_id};
use crate::{
    Context, check,
    lane::Lane,
    project::{self, NewProject},
    store::{dataset::Project, request},
};

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub lane: Lane,
}

fn wire(project: Project) -> WireProject {
    WireProject {
        name: project.name.to_string(),
        display_name: project.display_name,
        create_time: time(project.created),
    }
}

fn parse(request: CreateProjectRequest) -> granary_core::Result<NewProject> {
    let display_name = request.project.unwrap_or_default().display_name;
    check::text("project.display_name", &display_name, 256)?;
    Ok(NewProject {
        name: with_id("project_id", ProjectName::new(request.project_id))?,
        display_name,
        request: request::parse(&request.request_id)?,
    })
}

#[tonic::async_trait]
impl ProjectService for Handler {
    async fn create_project(
        &self,
        request: Request<CreateProjectRequest>,
    ) -> Result<Response<WireProject>, Status> {
        reply(async {
            Ok(wire(
                project::create(&self.lane, parse(request.into_inner())?).await?,
            ))
        })
        .await
    }

    async fn get_project(
        &self,
        request: Request<GetProjectRequest>,
    ) -> Result<Response<WireProject>, Status> {
        reply(async {
            Ok(wire(
                project::get(&self.context, &name("name", &request.get_ref().name)?).await?,
            ))
        })
        .await
    }

    async fn list_projects(
        &self,
        request: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let question = ["ListProjects"];
            let (size, last) = paging(&question, request.page_size, &request.page_token)?;
            let page = project::list(&self.context, size, last, wire).await?;
            let (projects, next_page_token) = paged(&question, page)?;
            Ok(ListProjectsResponse {
                projects,
                next_page_token,
            })
        })
        .await
    }
}
