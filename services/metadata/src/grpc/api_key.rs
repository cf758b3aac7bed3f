//! ApiKeyService.

use granary_core::{Error, Result, clock::to_micros};
use granary_proto::{
    convert,
    identity::v1::{
        ApiKey as WireApiKey, CreateApiKeyRequest, CreateApiKeyResponse, ListApiKeysRequest,
        ListApiKeysResponse, RevokeApiKeyRequest, api_key_service_server::ApiKeyService,
    },
};
use granary_runtime::rpc::required;
use tonic::{Request, Response, Status};

use super::{
    member::{parse_role, wire_role},
    name, paged, paging, reply, time,
};
use crate::{
    api_key::{ApiKeys, NewApiKey},
    check,
    role::Role,
    store::api_key::ApiKey,
};

#[derive(Clone)]
pub(super) struct Handler {
    pub keys: ApiKeys,
}

fn wire(key: ApiKey) -> WireApiKey {
    WireApiKey {
        name: key.name.to_string(),
        display_name: key.display_name,
        role: wire_role(key.role).into(),
        create_time: time(key.created),
        last_use_time: key.last_use.and_then(time),
        expire_time: key.expires.and_then(time),
        revoke_time: key.revoked.and_then(time),
    }
}

fn parse(request: CreateApiKeyRequest) -> Result<NewApiKey> {
    let key = required("api_key", request.api_key)?;
    check::text("api_key.display_name", &key.display_name, 256)?;
    let role = parse_role("api_key.role", key.role)?;
    if role == Role::Owner {
        return Err(Error::invalid(
            "api_key.role",
            "expected another role than owner: members are for people to decide on",
        ));
    }
    let expires = key
        .expire_time
        .map(|time| convert::time("api_key.expire_time", &time).map(to_micros))
        .transpose()?;
    Ok(NewApiKey {
        project: name("parent", &request.parent)?,
        display_name: key.display_name,
        role,
        expires,
    })
}

#[tonic::async_trait]
impl ApiKeyService for Handler {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        reply(async {
            let (key, text) = self.keys.create(parse(request.into_inner())?).await?;
            Ok(CreateApiKeyResponse {
                api_key: Some(wire(key)),
                secret: text.reveal().to_owned(),
            })
        })
        .await
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let request = request.into_inner();
        reply(async {
            let parent = name("parent", &request.parent)?;
            let question = ["ListApiKeys", &request.parent];
            let start = paging(&question, request.page_size, &request.page_token)?;
            let page = self.keys.list(&parent, start, wire).await?;
            let (api_keys, next_page_token) = paged(&question, page)?;
            Ok(ListApiKeysResponse {
                api_keys,
                next_page_token,
            })
        })
        .await
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<WireApiKey>, Status> {
        reply(async {
            let name = name("name", &request.get_ref().name)?;
            Ok(wire(self.keys.revoke(name).await?))
        })
        .await
    }
}
