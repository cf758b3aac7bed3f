//! What tests do with sessions.

use std::collections::BTreeMap;

use granary_core::name::SessionName;
use granary_proto::metadata::v1::{
    Asset, CompleteSessionRequest, CreateDatasetRequest, CreateSessionRequest, GetSessionRequest,
    ListAssetsRequest, Session, SessionState, WatchEventsRequest,
    asset_service_client::AssetServiceClient, dataset_service_client::DatasetServiceClient,
    event_service_client::EventServiceClient, session_service_client::SessionServiceClient,
};
use granary_runtime::{Link, auth::Role};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};

use super::{PATIENCE, World, project, session};

impl World {
    pub async fn dataset(&self, id: &str) {
        let request = CreateDatasetRequest {
            parent: project().to_string(),
            dataset_id: id.into(),
            ..Default::default()
        };
        DatasetServiceClient::new(self.link(Role::Administrator))
            .create_dataset(request)
            .await
            .unwrap();
    }

    pub fn sessions(&self) -> SessionServiceClient<Link> {
        SessionServiceClient::new(self.link(Role::Administrator))
    }

    /// Sends a session, with `metadata.txt` as its metadata if it is there, and completes it.
    pub async fn send(&self, id: &str, files: Vec<(&str, Vec<u8>)>) -> SessionName {
        let files = files
            .into_iter()
            .map(|(path, bytes)| (path.to_owned(), bytes))
            .collect();
        self.send_to(session(id), files).await
    }

    pub async fn send_to(&self, name: SessionName, files: Vec<(String, Vec<u8>)>) -> SessionName {
        self.fill(&name, files).await;
        self.complete(&name).await;
        name
    }

    pub async fn fill(&self, name: &SessionName, files: Vec<(String, Vec<u8>)>) {
        let metadata_path = files
            .iter()
            .map(|(path, _)| path.clone())
            .find(|path| path == "metadata.txt")
            .unwrap_or_default();
        let request = CreateSessionRequest {
            parent: name.parent().to_string(),
            session: Some(Session {
                metadata_path,
                ..Default::default()
            }),
            session_id: name.session.clone(),
            request_id: String::new(),
        };
        self.sessions().create_session(request).await.unwrap();
        let items = files.into_iter().map(|(path, bytes)| Item {
            path,
            source: Source::Bytes(bytes.into()),
            media_type: String::new(),
            derived_from: vec![],
            producer: String::new(),
        });
        let uploader = Uploader::new(self.link(Role::Administrator), UploadOptions::default());
        uploader
            .upload(name, items.collect(), &NoProgress)
            .await
            .unwrap();
    }

    pub async fn complete(&self, name: &SessionName) {
        let request = CompleteSessionRequest {
            name: name.to_string(),
            asset_count: 0,
        };
        self.sessions().complete_session(request).await.unwrap();
    }

    pub async fn session(&self, name: &SessionName) -> Session {
        self.sessions()
            .get_session(GetSessionRequest {
                name: name.to_string(),
            })
            .await
            .unwrap()
            .into_inner()
    }

    /// Waits until a session is processed or failed.
    pub async fn finished(&self, name: &SessionName) -> Session {
        let wait = async {
            let mut events = EventServiceClient::new(self.link(Role::Administrator));
            let request = WatchEventsRequest {
                parent: project().to_string(),
                resume_token: "0".into(),
                types: vec!["session.processed".into(), "session.failed".into()],
                resource: name.to_string(),
            };
            let mut events = events.watch_events(request).await.unwrap().into_inner();
            while let Some(batch) = events.message().await.unwrap() {
                if !batch.events.is_empty() {
                    break;
                }
            }
            self.session(name).await
        };
        let session = tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{name} did not finish"));
        assert_ne!(session.state(), SessionState::Completed);
        session
    }

    /// The assets of a session by path.
    pub async fn assets(&self, name: &SessionName) -> BTreeMap<String, Asset> {
        let mut assets = BTreeMap::new();
        let mut request = ListAssetsRequest {
            parent: name.parent().to_string(),
            page_size: 1000,
            page_token: String::new(),
            filter: format!("session = {:?}", name.session),
        };
        let mut client = AssetServiceClient::new(self.link(Role::Administrator));
        loop {
            let page = client
                .list_assets(request.clone())
                .await
                .unwrap()
                .into_inner();
            assets.extend(
                page.assets
                    .into_iter()
                    .map(|asset| (asset.path.clone(), asset)),
            );
            if page.next_page_token.is_empty() {
                return assets;
            }
            request.page_token = page.next_page_token;
        }
    }
}
