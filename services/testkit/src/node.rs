//! A platform of its own for one test.

use std::path::Path;

use granary::serve::{Platform, Settings};
use granary_core::name::{DatasetName, ProjectName, SessionName};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    metadata::v1::{
        self as metadata, CompleteSessionRequest, CreateDatasetRequest, CreateSessionRequest,
        Dataset, DatasetKind, GetSessionRequest, Session, WatchEventsRequest,
        asset_service_client::AssetServiceClient, dataset_service_client::DatasetServiceClient,
        event_service_client::EventServiceClient, session_service_client::SessionServiceClient,
    },
};
use granary_runtime::{Link, auth::TokenSource};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::Backend;

/// A running platform in a folder of its own, on ports of its own.
pub struct TestNode {
    platform: Option<Platform>,
    settings: Settings,
    folder: TempDir,
    link: Link,
}

impl TestNode {
    /// Starts one on the embedded default.
    pub async fn start() -> Self {
        Self::start_on(&Backend::Embedded).await
    }

    /// Starts one.
    pub async fn start_on(backend: &Backend) -> Self {
        Self::start_told(backend, false).await
    }

    /// Starts one that Prometheus can ask. What it tells is of the whole process, with all other such nodes.
    pub async fn start_measured(backend: &Backend) -> Self {
        Self::start_told(backend, true).await
    }

    async fn start_told(backend: &Backend, told: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::in_folder(folder.path().join("data"));
        settings.listen = "127.0.0.1:0".parse().unwrap();
        settings.s3_listen = "127.0.0.1:0".parse().unwrap();
        settings.job_slots = 2;
        settings.metrics_listen = told.then(|| "127.0.0.1:0".parse().unwrap());
        backend.prepare(&mut settings).await;
        let platform = Platform::start(settings.clone()).await.unwrap();
        let link = connect(&platform);
        Self {
            platform: Some(platform),
            settings,
            folder,
            link,
        }
    }

    /// Stops it and starts it again on the same data.
    pub async fn restart(&mut self) {
        if let Some(platform) = self.platform.take() {
            platform.stop().await;
        }
        let platform = Platform::start(self.settings.clone()).await.unwrap();
        self.link = connect(&platform);
        self.platform = Some(platform);
    }

    /// Waits until what calls came to by now is recorded.
    pub async fn recorded(&self) {
        self.platform.as_ref().unwrap().recorded().await;
    }

    /// A folder that goes with the node.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `http://HOST:PORT` of the gRPC server.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.platform.as_ref().unwrap().address())
    }

    /// `http://HOST:PORT` where Prometheus asks.
    pub fn metrics_endpoint(&self) -> String {
        let address = self.platform.as_ref().unwrap().metrics_address();
        format!("http://{}", address.unwrap())
    }

    /// The local administrator's token.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.platform.as_ref().unwrap().token_file().unwrap())
            .unwrap()
            .trim()
            .to_owned()
    }

    /// What clients are made of, as the local administrator, over the network.
    pub fn link(&self) -> Link {
        self.link.clone()
    }

    /// What clients are made of that come with another token, by a connection of their own.
    pub fn link_with(&self, token: &str) -> Link {
        link(&self.endpoint(), token)
    }

    /// A client of the sessions.
    pub fn sessions(&self) -> SessionServiceClient<Link> {
        SessionServiceClient::new(self.link())
    }

    /// A client of the assets.
    pub fn assets(&self) -> AssetServiceClient<Link> {
        AssetServiceClient::new(self.link()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Makes a dataset in the default project.
    pub async fn dataset(&self, id: &str) -> DatasetName {
        let project = ProjectName::new("default").unwrap();
        let request = CreateDatasetRequest {
            parent: project.to_string(),
            dataset: Some(Dataset {
                kind: DatasetKind::Raw.into(),
                ..Dataset::default()
            }),
            dataset_id: id.into(),
            request_id: String::new(),
        };
        DatasetServiceClient::new(self.link())
            .create_dataset(request)
            .await
            .unwrap();
        DatasetName::new("default", id).unwrap()
    }

    /// Sends a whole session and completes it.
    pub async fn session(
        &self,
        dataset: &DatasetName,
        id: &str,
        session: Session,
        files: Vec<(&str, Vec<u8>)>,
    ) -> SessionName {
        send(&self.link(), dataset, id, session, files).await
    }

    /// Waits until the pipelines are done with a session, by its events, and returns it.
    pub async fn processed(&self, session: &SessionName) -> Session {
        let request = WatchEventsRequest {
            parent: format!("projects/{}", session.project),
            resume_token: String::new(),
            types: vec!["session.processed".into(), "session.failed".into()],
            resource: session.to_string(),
        };
        let mut events = EventServiceClient::new(self.link())
            .watch_events(request)
            .await
            .unwrap()
            .into_inner();
        events.message().await.unwrap().unwrap();
        loop {
            let found = self
                .sessions()
                .get_session(GetSessionRequest {
                    name: session.to_string(),
                })
                .await
                .unwrap()
                .into_inner();
            if matches!(
                found.state(),
                metadata::SessionState::Processed | metadata::SessionState::Failed
            ) {
                return found;
            }
            events
                .message()
                .await
                .unwrap()
                .expect("the stream of events ended");
        }
    }
}

/// Sends a whole session as whoever the link calls for, and completes it.
pub async fn send(
    link: &Link,
    dataset: &DatasetName,
    id: &str,
    session: Session,
    files: Vec<(&str, Vec<u8>)>,
) -> SessionName {
    let name = dataset.session(id).unwrap();
    let mut sessions = SessionServiceClient::new(link.clone());
    let request = CreateSessionRequest {
        parent: dataset.to_string(),
        session: Some(session),
        session_id: id.into(),
        request_id: String::new(),
    };
    sessions.create_session(request).await.unwrap();
    let count = i64::try_from(files.len()).unwrap();
    let items = files
        .into_iter()
        .map(|(path, bytes)| Item {
            path: path.into(),
            source: Source::Bytes(bytes.into()),
            media_type: granary_core::media::from_path(path).into(),
            derived_from: vec![],
            producer: String::new(),
        })
        .collect();
    Uploader::new(link.clone(), UploadOptions::default())
        .upload(&name, items, &NoProgress)
        .await
        .unwrap();
    sessions
        .complete_session(CompleteSessionRequest {
            name: name.to_string(),
            asset_count: count,
        })
        .await
        .unwrap();
    name
}

fn connect(platform: &Platform) -> Link {
    let token = std::fs::read_to_string(platform.token_file().unwrap()).unwrap();
    link(&format!("http://{}", platform.address()), &token)
}

fn link(endpoint: &str, token: &str) -> Link {
    let channel = Endpoint::from_shared(endpoint.to_owned());
    let token = TokenSource::fixed(token.trim()).unwrap();
    Link::remote(channel.unwrap().connect_lazy(), token)
}
