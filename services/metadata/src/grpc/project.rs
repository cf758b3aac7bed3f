//! ProjectService.

use granary_core::{Result, name::ProjectName};
use granary_proto::metadata::v1::{
    CreateProjectRequest, GetProjectRequest, ListProjectsRequest, ListProjectsResponse,
    Project as WireProject, project_service_server::ProjectService,
};
use granary_runtime::{
    auth::{Principal, Role},
    rpc::principal,
};
use tonic::{Request, Response, Status};

use super::{identity, name, paged, paging, reply, time, with_id};
use crate::{
    Context,
    access::{Access, Question},
    check,
    lane::Lane,
    project::{self, NewProject, Seen},
    store::{dataset::Project, request},
};

#[derive(Clone)]
pub(super) struct Handler {
    pub context: Context,
    pub lane: Lane,
    pub access: Access,
}

fn wire(project: Project) -> WireProject {
    WireProject {
        name: project.name.to_string(),
        display_name: project.display_name,
        create_time: time(project.created),
    }
}

fn parse(request: CreateProjectRequest, creator: &Principal) -> Result<NewProject> {
    let display_name = request.project.unwrap_or_default().display_name;
    check::text("project.display_name", &display_name, 256)?;
    Ok(NewProject {
        name: with_id("project_id", ProjectName::new(request.project_id))?,
        display_name,
        owner: (
            identity(creator),
            creator.email.as_deref().unwrap_or_default().to_owned(),
        ),
        request: request::parse(&request.request_id)?,
    })
}

impl Handler {
    /// What somebody sees. Whoever lists projects from their start also accepts the invitations that wait.
    async fn seen(&self, caller: &Principal, first: bool) -> Result<Seen> {
        if matches!(caller.role, Some(Role::Administrator | Role::Service)) {
            return Ok(Seen::All);
        }
        let who = identity(caller);
        if let Some(key) = self.access.key(&who) {
            let question = Question {
                project: key.parent(),
                who,
                email: String::new(),
            };
            let role = self.access.role(question).await?;
            return Ok(Seen::One(role.map(|_| key.parent())));
        }
        if let Some(email) = caller.email.as_deref().filter(|_| first) {
            self.access.accept_all(&who, email).await?;
        }
        Ok(Seen::Of(who))
    }
}

#[tonic::async_trait]
impl ProjectService for Handler {
    async fn create_project(
        &self,
        request: Request<CreateProjectRequest>,
    ) -> Result<Response<WireProject>, Status> {
        let creator = principal(&request)?;
        reply(async {
            let new = parse(request.into_inner(), &creator)?;
            Ok(wire(project::create(&self.lane, new).await?))
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
        let caller = principal(&request)?;
        let request = request.into_inner();
        reply(async {
            let question = ["ListProjects", &caller.issuer, &caller.subject];
            let (size, last) = paging(&question, request.page_size, &request.page_token)?;
            let seen = self.seen(&caller, last.is_none()).await?;
            let page = project::list(&self.context, &seen, size, last, wire).await?;
            let (projects, next_page_token) = paged(&question, page)?;
            Ok(ListProjectsResponse {
                projects,
                next_page_token,
            })
        })
        .await
    }
}
