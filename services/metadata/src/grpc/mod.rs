//! Thin handlers: parse, call, convert.

mod access;
mod api_key;
mod asset;
mod audit;
mod dataset;
mod event;
mod label;
mod member;
mod project;
mod session;
mod snapshot;
mod token;
mod usage;

use std::{future::Future, str::FromStr};

use granary_core::{Error, Result, clock::from_micros, page};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    convert::timestamp,
    identity::v1::{
        access_service_server::AccessServiceServer, api_key_service_server::ApiKeyServiceServer,
        audit_service_server::AuditServiceServer, member_service_server::MemberServiceServer,
        token_service_server::TokenServiceServer, usage_service_server::UsageServiceServer,
    },
    metadata::v1::{
        asset_service_server::AssetServiceServer, dataset_service_server::DatasetServiceServer,
        event_service_server::EventServiceServer, label_service_server::LabelServiceServer,
        project_service_server::ProjectServiceServer, session_service_server::SessionServiceServer,
        snapshot_service_server::SnapshotServiceServer,
    },
};
use granary_runtime::{
    auth::{Issuer, Principal},
    rpc::to_status,
    task::Tasks,
};
use serde::{Serialize, de::DeserializeOwned};
use tonic::{Response, Status, service::RoutesBuilder};

use crate::{
    Context,
    access::Access,
    api_key::ApiKeys,
    asset::Assets,
    label::Labels,
    lane::Lane,
    session::Sessions,
    store::{member::Identity, page::Page},
};

/// The gRPC services.
#[derive(Clone)]
pub(crate) struct Services {
    projects: project::Handler,
    datasets: dataset::Handler,
    sessions: session::Handler,
    assets: asset::Handler,
    labels: label::Handler,
    snapshots: snapshot::Handler,
    events: event::Handler,
    members: member::Handler,
    keys: api_key::Handler,
    access: access::Handler,
    tokens: token::Handler,
    audit: audit::Handler,
    usage: usage::Handler,
}

/// What the one call takes that anybody can make: a key is short.
const MAX_UNKNOWN_BYTES: usize = 64 * 1024;

macro_rules! mount {
    ($routes:expr, $($server:ident($handler:expr)),+ $(,)?) => {
        $($routes.add_service(
            $server::new($handler.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        );)+
    };
}

impl Services {
    pub(crate) fn new(
        context: &Context,
        tasks: &Tasks,
        issuer: Issuer,
        creates_tokens: bool,
        issuers: Vec<String>,
    ) -> Self {
        let lane = Lane::start(context, tasks);
        let labels = Labels::start(context, tasks, &lane);
        let access = Access::start(context, tasks, &lane, issuer.name());
        let keys = ApiKeys::start(context, tasks, &lane, issuer.clone());
        Self {
            projects: project::Handler {
                context: context.clone(),
                lane: lane.clone(),
                access: access.clone(),
            },
            members: member::Handler {
                context: context.clone(),
                lane: lane.clone(),
                own: issuer.name().to_owned(),
                issuers: issuers.into(),
            },
            keys: api_key::Handler { keys: keys.clone() },
            access: access::Handler {
                access: access.clone(),
            },
            datasets: dataset::Handler {
                context: context.clone(),
                lane: lane.clone(),
            },
            sessions: session::Handler {
                context: context.clone(),
                sessions: Sessions::start(context, tasks, &lane),
            },
            assets: asset::Handler {
                context: context.clone(),
                assets: Assets::start(context, tasks),
            },
            labels: label::Handler { labels },
            snapshots: snapshot::Handler {
                context: context.clone(),
                tasks: tasks.clone(),
            },
            events: event::Handler {
                context: context.clone(),
                stopping: tasks.stopping(),
            },
            audit: audit::Handler {
                context: context.clone(),
            },
            usage: usage::Handler {
                context: context.clone(),
                lane: lane.clone(),
            },
            tokens: token::Handler {
                issuer: creates_tokens.then_some(issuer),
                keys,
                access,
            },
        }
    }

    pub(crate) fn mount(&self, routes: &mut RoutesBuilder) {
        mount!(
            routes,
            ProjectServiceServer(self.projects),
            DatasetServiceServer(self.datasets),
            SessionServiceServer(self.sessions),
            AssetServiceServer(self.assets),
            LabelServiceServer(self.labels),
            SnapshotServiceServer(self.snapshots),
            EventServiceServer(self.events),
            MemberServiceServer(self.members),
            ApiKeyServiceServer(self.keys),
            AccessServiceServer(self.access),
            AuditServiceServer(self.audit),
            UsageServiceServer(self.usage),
        );
        routes.add_service(
            TokenServiceServer::new(self.tokens.clone())
                .max_decoding_message_size(MAX_UNKNOWN_BYTES),
        );
    }
}

/// Answers a call with what it leads to.
async fn reply<T>(work: impl Future<Output = Result<T>>) -> Result<Response<T>, Status> {
    work.await.map(Response::new).map_err(to_status)
}

/// Whom a token stands for, as members are known.
fn identity(principal: &Principal) -> Identity {
    Identity {
        issuer: principal.issuer.to_string(),
        subject: principal.subject.to_string(),
    }
}

/// Parses the name of a resource in a field.
fn name<T: FromStr<Err = Error>>(field: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error: Error| error.within(field))
}

/// Checks an id in a field by making a name with it.
fn with_id<T>(field: &str, made: Result<T>) -> Result<T> {
    made.map_err(|error| match error {
        Error::Invalid(mut violations) => {
            violations
                .iter_mut()
                .for_each(|violation| field.clone_into(&mut violation.field));
            Error::Invalid(violations)
        }
        other => other,
    })
}

/// A stored time on the wire.
fn time(micros: i64) -> Option<prost_types::Timestamp> {
    Some(timestamp(from_micros(micros)))
}

/// How large a page is wanted and where it starts. `question` is the method and all that the answer depends on.
fn paging<K: Serialize + DeserializeOwned>(
    question: &[&str],
    size: i32,
    token: &str,
) -> Result<(u32, Option<K>)> {
    let size = page::size(size)?;
    let key: Option<K> = page::decode(question, token)?;
    // Tokens are not signed: what is in one may be anything that a text can be.
    let clean = serde_json::to_string(&key).is_ok_and(|text| !text.contains("\\u0000"));
    if clean {
        Ok((size, key))
    } else {
        Err(Error::invalid(
            "page_token",
            "expected the next_page_token of the page before",
        ))
    }
}

/// The items of a page and the token of the next one.
fn paged<M, K: Serialize>(question: &[&str], page: Page<M, K>) -> Result<(Vec<M>, String)> {
    let token = page
        .next
        .map(|key| page::encode(question, &key))
        .transpose()?;
    Ok((page.items, token.unwrap_or_default()))
}
