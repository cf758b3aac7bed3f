//! What this service asks of the metadata service.

use std::{collections::HashMap, future::Future, time::Duration};

use granary_core::{
    Error, Result, Violation,
    name::{AssetName, DatasetName, ProjectName, SessionName},
};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    metadata::v1::{
        Asset, AssetEvent, AssetStateUpdate, BatchCreateAssetsRequest, BatchGetAssetsRequest,
        BatchUpdateAssetStatesRequest, Dataset, GetDatasetRequest, GetProjectRequest,
        GetSessionRequest, ListAssetsRequest, ListAssetsResponse, Project, Session,
        WatchEventsRequest, WatchEventsResponse, asset_service_client::AssetServiceClient,
        dataset_service_client::DatasetServiceClient, event_service_client::EventServiceClient,
        project_service_client::ProjectServiceClient, session_service_client::SessionServiceClient,
    },
};
use granary_runtime::{Link, rpc};
use tonic::{Response, Status, Streaming};

/// The longest that one call may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An asset whose bytes are in the store.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) name: AssetName,
    /// What the bytes were declared with and compared to.
    pub(crate) sha256: String,
}

/// Calls of the metadata service.
#[derive(Clone, Debug)]
pub(crate) struct Metadata(Link);

impl Metadata {
    pub(crate) fn new(link: Link) -> Self {
        Self(link)
    }

    fn assets(&self) -> AssetServiceClient<Link> {
        AssetServiceClient::new(self.0.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Assets of one project, in the order of the names; an asset may be named more than once.
    pub(crate) async fn get(
        &self,
        project: &ProjectName,
        names: &[AssetName],
    ) -> Result<Vec<Asset>> {
        let mut distinct: Vec<String> = names.iter().map(ToString::to_string).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let request = BatchGetAssetsRequest {
            parent: project.to_string(),
            names: distinct,
        };
        let answer = within(self.assets().batch_get_assets(request)).await?;
        let found: HashMap<String, Asset> = answer
            .assets
            .into_iter()
            .map(|asset| (asset.name.clone(), asset))
            .collect();
        names
            .iter()
            .map(|name| {
                found
                    .get(&name.to_string())
                    .cloned()
                    .ok_or_else(|| Error::not_found(name))
            })
            .collect()
    }

    /// Registers assets of one session, in order. Fields of errors are `requests[i]`, as this service's callers know them.
    pub(crate) async fn register(
        &self,
        session: &SessionName,
        assets: Vec<Asset>,
    ) -> Result<Vec<Asset>> {
        let count = assets.len();
        let request = BatchCreateAssetsRequest {
            parent: session.to_string(),
            assets,
        };
        let answer = within(self.assets().batch_create_assets(request))
            .await
            .map_err(as_requests)?;
        if answer.assets.len() == count {
            return Ok(answer.assets);
        }
        Err(Error::internal(
            "registering assets",
            "not one answer for each",
        ))
    }

    /// Tells that the bytes of assets of one project are in the store; a result for each.
    pub(crate) async fn stored(
        &self,
        project: &ProjectName,
        assets: &[Stored],
    ) -> Result<Vec<Result<()>>> {
        if assets.is_empty() {
            return Ok(vec![]);
        }
        let update = |stored: &Stored| AssetStateUpdate {
            name: stored.name.to_string(),
            event: AssetEvent::Stored.into(),
            sha256: stored.sha256.clone(),
            ..Default::default()
        };
        let request = BatchUpdateAssetStatesRequest {
            parent: project.to_string(),
            updates: assets.iter().map(update).collect(),
        };
        let answer = within(self.assets().batch_update_asset_states(request)).await?;
        if answer.results.len() != assets.len() {
            return Err(Error::internal(
                "recording uploads",
                "not one answer for each",
            ));
        }
        Ok(answer
            .results
            .into_iter()
            .map(|result| {
                result
                    .error
                    .map_or(Ok(()), |error| Err(rpc::from_item(error)))
            })
            .collect())
    }

    /// A session.
    pub(crate) async fn session(&self, name: &SessionName) -> Result<Session> {
        let mut client =
            SessionServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        within(client.get_session(GetSessionRequest {
            name: name.to_string(),
        }))
        .await
    }

    /// A project.
    pub(crate) async fn project(&self, name: &ProjectName) -> Result<Project> {
        let mut client =
            ProjectServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        within(client.get_project(GetProjectRequest {
            name: name.to_string(),
        }))
        .await
    }

    /// A dataset.
    pub(crate) async fn dataset(&self, name: &DatasetName) -> Result<Dataset> {
        let mut client =
            DatasetServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        within(client.get_dataset(GetDatasetRequest {
            name: name.to_string(),
        }))
        .await
    }

    /// A page of the assets of a session.
    pub(crate) async fn assets_of(
        &self,
        session: &SessionName,
        page_size: i32,
        page_token: String,
    ) -> Result<ListAssetsResponse> {
        let parent: DatasetName = session.parent();
        // Session ids hold nothing that would need escaping.
        let filter = format!("session = \"{}\"", session.session);
        let request = ListAssetsRequest {
            parent: parent.to_string(),
            page_size,
            page_token,
            filter,
        };
        within(self.assets().list_assets(request)).await
    }

    /// Events of all projects, from a token on.
    pub(crate) async fn watch(
        &self,
        resume_token: String,
        types: &[&str],
    ) -> Result<Streaming<WatchEventsResponse>> {
        let mut client =
            EventServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let types = types.iter().map(ToString::to_string).collect();
        let request = WatchEventsRequest {
            parent: "projects/-".into(),
            resume_token,
            types,
            resource: String::new(),
        };
        within(client.watch_events(request)).await
    }
}

async fn within<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => rpc::answer(answer),
        Err(_) => Err(Error::DeadlineExceeded {
            reason: "the metadata service took too long: try again".into(),
        }),
    }
}

fn as_requests(error: Error) -> Error {
    let Error::Invalid(violations) = error else {
        return error;
    };
    let rename = |v: Violation| match v.field.strip_prefix("assets[") {
        Some(rest) => Violation {
            field: format!("requests[{rest}"),
            ..v
        },
        None => v,
    };
    Error::Invalid(violations.into_iter().map(rename).collect())
}
