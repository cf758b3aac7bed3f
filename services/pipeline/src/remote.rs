//! Calls of the other services: metadata and storage.

use std::{future::Future, time::Duration};

use granary_core::{
    Error, Result,
    name::{DatasetName, ProjectName, SessionName},
};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    metadata::v1::{
        AssetStateResult, AssetStateUpdate, BatchUpdateAssetStatesRequest, CompleteSessionRequest,
        CreateDatasetRequest, CreateSessionRequest, Dataset, DatasetKind, FinishSessionRequest,
        GetDatasetRequest, GetProjectRequest, GetSessionRequest, ListAssetsRequest,
        ListSessionsRequest, Session, WatchEventsRequest, WatchEventsResponse,
        asset_service_client::AssetServiceClient, dataset_service_client::DatasetServiceClient,
        event_service_client::EventServiceClient, project_service_client::ProjectServiceClient,
        session_service_client::SessionServiceClient,
    },
    storage::v1::{
        BatchCopyAssetsRequest, CopyRequest, upload_service_client::UploadServiceClient,
    },
};
use granary_runtime::{Link, rpc::answer};
use prost::Message as _;
use tonic::{Response, Status, Streaming};

use crate::{
    item::{Item, SessionInfo},
    paging::batches,
};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many assets are worked on together.
pub(crate) const PAGE: usize = 500;
/// How much is sent together: well below what a message holds.
const BATCH_BYTES: usize = MAX_MESSAGE_BYTES / 2;

/// Generated clients, of which each call takes a copy.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    projects: ProjectServiceClient<Link>,
    datasets: DatasetServiceClient<Link>,
    sessions: SessionServiceClient<Link>,
    assets: AssetServiceClient<Link>,
    events: EventServiceClient<Link>,
    uploads: UploadServiceClient<Link>,
}

/// A page of assets, and the token of the next one; empty on the last.
pub(crate) type Page = (Vec<Item>, String);

impl Remote {
    pub(crate) fn new(metadata: &Link, storage: &Link) -> Self {
        macro_rules! client {
            ($client:ident, $link:expr) => {
                $client::new($link.clone())
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES)
            };
        }
        Self {
            projects: client!(ProjectServiceClient, metadata),
            datasets: client!(DatasetServiceClient, metadata),
            sessions: client!(SessionServiceClient, metadata),
            assets: client!(AssetServiceClient, metadata),
            events: client!(EventServiceClient, metadata),
            uploads: client!(UploadServiceClient, storage),
        }
    }

    /// Fails with [`Error::NotFound`] if there is no such project.
    pub(crate) async fn check_project(&self, project: &ProjectName) -> Result<()> {
        let request = GetProjectRequest {
            name: project.to_string(),
        };
        call(self.projects.clone().get_project(request))
            .await
            .map(drop)
    }

    /// Makes sure that a dataset is there; a new one holds what pipelines made.
    pub(crate) async fn ensure_dataset(&self, name: &DatasetName) -> Result<()> {
        let mut datasets = self.datasets.clone();
        match call(datasets.get_dataset(GetDatasetRequest {
            name: name.to_string(),
        }))
        .await
        {
            Err(Error::NotFound { .. }) => {}
            other => return other.map(drop),
        }
        let request = CreateDatasetRequest {
            parent: name.parent().to_string(),
            dataset: Some(Dataset {
                kind: DatasetKind::Processed as i32,
                ..Dataset::default()
            }),
            dataset_id: name.dataset.clone(),
            request_id: String::new(),
        };
        match call(datasets.create_dataset(request)).await {
            // Somebody else was faster.
            Err(Error::AlreadyExists { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    pub(crate) async fn session(&self, name: &SessionName) -> Result<Session> {
        call(self.sessions.clone().get_session(GetSessionRequest {
            name: name.to_string(),
        }))
        .await
    }

    /// The newest completed session of a dataset, if there is one.
    pub(crate) async fn newest_session(
        &self,
        dataset: &DatasetName,
    ) -> Result<Option<SessionInfo>> {
        let request = ListSessionsRequest {
            parent: dataset.to_string(),
            page_size: 1,
            page_token: String::new(),
            filter: "state != OPEN".into(),
        };
        match call(self.sessions.clone().list_sessions(request)).await {
            Ok(found) => found
                .sessions
                .into_iter()
                .next()
                .map(SessionInfo::read)
                .transpose(),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Opens a session, or finds it as it is.
    pub(crate) async fn open_session(
        &self,
        name: &SessionName,
        session: Session,
    ) -> Result<Session> {
        // Creating one that is open adds to it, whoever opened it: look first.
        match self.session(name).await {
            Err(Error::NotFound { .. }) => {}
            other => return other,
        }
        let request = CreateSessionRequest {
            parent: name.parent().to_string(),
            session: Some(session),
            session_id: name.session.clone(),
            request_id: String::new(),
        };
        call(self.sessions.clone().create_session(request)).await
    }

    pub(crate) async fn complete_session(&self, name: &SessionName) -> Result<()> {
        let request = CompleteSessionRequest {
            name: name.to_string(),
            asset_count: 0,
        };
        call(self.sessions.clone().complete_session(request))
            .await
            .map(drop)
    }

    pub(crate) async fn finish_session(&self, request: FinishSessionRequest) -> Result<()> {
        call(self.sessions.clone().finish_session(request))
            .await
            .map(drop)
    }

    /// A page of a session's assets, by path.
    pub(crate) async fn assets(&self, session: &SessionName, page_token: String) -> Result<Page> {
        let request = ListAssetsRequest {
            parent: session.parent().to_string(),
            page_size: i32::try_from(PAGE).unwrap_or(i32::MAX),
            page_token,
            filter: format!("session = {:?}", session.session),
        };
        let found = call(self.assets.clone().list_assets(request)).await?;
        let items = found
            .assets
            .into_iter()
            .map(Item::read)
            .collect::<Result<_>>()?;
        Ok((items, found.next_page_token))
    }

    /// Applies events to assets, in batches; a result for each, in order.
    pub(crate) async fn update_assets(
        &self,
        project: &str,
        updates: Vec<AssetStateUpdate>,
    ) -> Result<Vec<AssetStateResult>> {
        let mut results = Vec::with_capacity(updates.len());
        for updates in batches(updates, PAGE, BATCH_BYTES, AssetStateUpdate::encoded_len) {
            let request = BatchUpdateAssetStatesRequest {
                parent: format!("projects/{project}"),
                updates,
            };
            let answer = call(self.assets.clone().batch_update_asset_states(request)).await?;
            results.extend(answer.results);
        }
        Ok(results)
    }

    /// Copies within the store, all or nothing; returns the names of the copies.
    pub(crate) async fn copy(
        &self,
        into: &SessionName,
        requests: Vec<CopyRequest>,
    ) -> Result<Vec<String>> {
        let request = BatchCopyAssetsRequest {
            parent: into.to_string(),
            requests,
        };
        Ok(call(self.uploads.clone().batch_copy_assets(request))
            .await?
            .assets)
    }

    /// Sessions that complete, in all projects, after `token`.
    pub(crate) async fn completed_sessions(
        &self,
        token: String,
    ) -> Result<Streaming<WatchEventsResponse>> {
        let request = WatchEventsRequest {
            parent: "projects/-".into(),
            resume_token: token,
            types: vec![crate::definition::EVENT.into()],
            resource: String::new(),
        };
        call(self.events.clone().watch_events(request)).await
    }
}

async fn call<T>(answered: impl Future<Output = Result<Response<T>, Status>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(answered) => answer(answered),
        Err(_) => Err(Error::DeadlineExceeded {
            reason: format!(
                "another service did not answer within {} s",
                PATIENCE.as_secs()
            ),
        }),
    }
}
