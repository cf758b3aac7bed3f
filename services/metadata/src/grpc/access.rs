//! AccessService.

use granary_core::{Result, name::ProjectName};
use granary_proto::{
    convert::wire_duration,
    identity::v1::{
        CheckAccessRequest, CheckAccessResponse, ProjectRole, access_service_server::AccessService,
    },
};
use granary_runtime::auth::directory::{MAX_AGE, MAX_AGE_OF_NONE};
use tonic::{Request, Response, Status};

use super::{member::wire_role, name, reply};
use crate::{
    access::{Access, Question},
    store::member::Identity,
};

#[derive(Clone)]
pub(super) struct Handler {
    pub access: Access,
}

/// Nothing for who can have no role: all projects at once, and texts that no database holds.
fn parse(request: CheckAccessRequest) -> Result<Option<Question>> {
    if request.project == "projects/-" {
        return Ok(None);
    }
    let project: ProjectName = name("project", &request.project)?;
    let texts = [&request.issuer, &request.subject, &request.email];
    let usable = texts.iter().all(|text| !text.contains('\0'))
        && !request.issuer.is_empty()
        && !request.subject.is_empty();
    Ok(usable.then_some(Question {
        project,
        who: Identity {
            issuer: request.issuer,
            subject: request.subject,
        },
        email: request.email,
    }))
}

#[tonic::async_trait]
impl AccessService for Handler {
    async fn check_access(
        &self,
        request: Request<CheckAccessRequest>,
    ) -> Result<Response<CheckAccessResponse>, Status> {
        reply(async {
            let role = match parse(request.into_inner())? {
                Some(question) => self.access.role(question).await?,
                None => None,
            };
            let max_age = if role.is_some() {
                MAX_AGE
            } else {
                MAX_AGE_OF_NONE
            };
            Ok(CheckAccessResponse {
                role: role.map_or(ProjectRole::Unspecified, wire_role).into(),
                max_age: Some(wire_duration(max_age)),
            })
        })
        .await
    }
}
