//! TokenService.

use granary_core::{Error, Result, name::ProjectName};
use granary_proto::{
    convert::duration,
    identity::v1::{
        CreateTokenRequest, CreateTokenResponse, ExchangeApiKeyRequest, ExchangeApiKeyResponse,
        GetPrincipalRequest, Principal as WirePrincipal, Role as WireRole, RoleInProject,
        token_service_server::TokenService,
    },
};
use granary_runtime::{
    auth::{Issuer, Principal, Role},
    rpc::{known, principal, to_status},
};
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use super::{identity, member::wire_role as wire_project_role, reply};
use crate::{access::Access, api_key::ApiKeys, token};

#[derive(Clone)]
pub(super) struct Handler {
    /// Who issues tokens for administrators; none where tokens come from elsewhere.
    pub issuer: Option<Issuer>,
    pub keys: ApiKeys,
    pub access: Access,
}

fn seconds(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn wire_role(role: Option<Role>) -> WireRole {
    match role {
        Some(Role::Administrator) => WireRole::Administrator,
        Some(Role::Service) => WireRole::Service,
        Some(Role::Worker) => WireRole::Worker,
        _ => WireRole::Unspecified,
    }
}

fn parse_role(role: i32) -> Result<Option<Role>> {
    match WireRole::try_from(role) {
        Ok(WireRole::Unspecified) => Ok(None),
        Ok(WireRole::Administrator) => Ok(Some(Role::Administrator)),
        Ok(WireRole::Worker) => Ok(Some(Role::Worker)),
        _ => Err(Error::invalid(
            "role",
            "expected ROLE_ADMINISTRATOR, ROLE_WORKER or nothing",
        )),
    }
}

impl Handler {
    async fn projects(&self, principal: &Principal) -> Result<Vec<RoleInProject>> {
        let email = principal.email.as_deref().unwrap_or_default();
        let roles = self.access.roles(identity(principal), email).await?;
        let wire = |(project, role): (ProjectName, _)| RoleInProject {
            project: project.to_string(),
            role: wire_project_role(role).into(),
        };
        Ok(roles.into_iter().map(wire).collect())
    }

    fn create(&self, request: CreateTokenRequest) -> Result<CreateTokenResponse> {
        let role = parse_role(request.role)?;
        let lifetime = request
            .lifetime
            .map(|lifetime| duration("lifetime", lifetime))
            .transpose()?;
        let lifetime = lifetime.unwrap_or(token::DEFAULT);
        let (token, expires) =
            token::issue(self.issuer.as_ref(), &request.subject, role, lifetime)?;
        Ok(CreateTokenResponse {
            token,
            expire_time: seconds(expires),
        })
    }
}

#[tonic::async_trait]
impl TokenService for Handler {
    async fn get_principal(
        &self,
        request: Request<GetPrincipalRequest>,
    ) -> Result<Response<WirePrincipal>, Status> {
        let principal = principal(&request)?;
        reply(async {
            let projects = match request.get_ref().with_projects {
                true => self.projects(&principal).await?,
                false => Vec::new(),
            };
            Ok(WirePrincipal {
                subject: principal.subject.to_string(),
                issuer: principal.issuer.to_string(),
                role: wire_role(principal.role).into(),
                expire_time: seconds(principal.expires),
                email: principal.email.as_deref().unwrap_or_default().to_owned(),
                projects,
            })
        })
        .await
    }

    async fn exchange_api_key(
        &self,
        request: Request<ExchangeApiKeyRequest>,
    ) -> Result<Response<ExchangeApiKeyResponse>, Status> {
        let exchanged = self.keys.exchange(&request.get_ref().secret).await;
        let (token, principal) = exchanged.map_err(to_status)?;
        let mut response = Response::new(ExchangeApiKeyResponse {
            token,
            expire_time: seconds(principal.expires),
        });
        known(&mut response, principal);
        Ok(response)
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        reply(async { self.create(request.into_inner()) }).await
    }
}
