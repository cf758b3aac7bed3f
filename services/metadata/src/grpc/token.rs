//! TokenService.

use granary_core::{Error, Result};
use granary_proto::{
    convert::duration,
    identity::v1::{
        CreateTokenRequest, CreateTokenResponse, GetPrincipalRequest, Principal as WirePrincipal,
        Role as WireRole, token_service_server::TokenService,
    },
};
use granary_runtime::{
    auth::{Issuer, Role},
    rpc::principal,
};
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use super::reply;
use crate::token;

#[derive(Clone)]
pub(super) struct Handler {
    pub issuer: Option<Issuer>,
}

fn seconds(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn wire_role(role: Role) -> WireRole {
    match role {
        Role::Administrator => WireRole::Administrator,
        Role::Service => WireRole::Service,
        Role::Worker => WireRole::Worker,
    }
}

fn parse_role(role: i32) -> Result<Role> {
    match WireRole::try_from(role) {
        Ok(WireRole::Administrator) => Ok(Role::Administrator),
        Ok(WireRole::Worker) => Ok(Role::Worker),
        _ => Err(Error::invalid(
            "role",
            "expected ROLE_ADMINISTRATOR or ROLE_WORKER",
        )),
    }
}

impl Handler {
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
        Ok(Response::new(WirePrincipal {
            subject: principal.subject.to_string(),
            issuer: principal.issuer.to_string(),
            role: wire_role(principal.role).into(),
            expire_time: seconds(principal.expires),
        }))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        reply(async { self.create(request.into_inner()) }).await
    }
}
