//! A Metadata service of a test's own, and short ways to fill it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use granary_core::{clock::ManualClock, layout::Layout, name::SessionName, value::Value};
use granary_metadata::{Metadata, Options};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    convert::wire_attributes,
    identity::v1::{
        access_service_client::AccessServiceClient, api_key_service_client::ApiKeyServiceClient,
        audit_service_client::AuditServiceClient, member_service_client::MemberServiceClient,
        token_service_client::TokenServiceClient, usage_service_client::UsageServiceClient,
    },
    metadata::v1::{
        Asset, AssetEvent, AssetStateUpdate, BatchCreateAssetsRequest,
        BatchUpdateAssetStatesRequest, CompleteSessionRequest, CreateDatasetRequest,
        CreateProjectRequest, CreateSessionRequest, FinishSessionRequest, ListAssetsRequest,
        Session, Value as WireValue, asset_service_client::AssetServiceClient,
        dataset_service_client::DatasetServiceClient, event_service_client::EventServiceClient,
        label_service_client::LabelServiceClient, project_service_client::ProjectServiceClient,
        session_service_client::SessionServiceClient,
        snapshot_service_client::SnapshotServiceClient,
    },
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Directory, Issuer, Role, TokenSource},
    db::DatabaseUrl,
    server::protect,
    task::Tasks,
};
use tempfile::TempDir;
use tonic::{Code, Status, service::Routes};

use crate::database::{fresh_postgres, postgres};

pub(crate) type Attributes = BTreeMap<String, WireValue>;

/// An issuer outside whose tokens count too.
pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const DATASET: &str = "projects/default/datasets/raw";

pub(crate) struct World {
    pub clock: Arc<ManualClock>,
    pub tasks: Tasks,
    pub kind: &'static str,
    pub metadata: Metadata,
    pub issuer: Issuer,
    pub folder: TempDir,
    pub routes: Routes,
    database: DatabaseUrl,
    creates_tokens: bool,
}

macro_rules! clients {
    ($($name:ident: $client:ident),+ $(,)?) => {
        impl World { $(
            pub(crate) fn $name(&self) -> $client<Link> {
                $client::new(self.link("ada", Role::Administrator))
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES)
            }
        )+ }
    };
}

clients! {
    projects: ProjectServiceClient,
    datasets: DatasetServiceClient,
    sessions: SessionServiceClient,
    assets: AssetServiceClient,
    labels: LabelServiceClient,
    snapshots: SnapshotServiceClient,
    events: EventServiceClient,
    tokens: TokenServiceClient,
    members: MemberServiceClient,
    keys: ApiKeyServiceClient,
    audit: AuditServiceClient,
    usage: UsageServiceClient,
}

impl World {
    /// One on each database, with the dataset `raw` in the project `default`.
    pub(crate) async fn each() -> Vec<Self> {
        let mut worlds = vec![Self::start("sqlite").await];
        if postgres().is_some() {
            worlds.push(Self::start("postgres").await);
        }
        for world in &worlds {
            world.dataset("default", "raw").await;
        }
        worlds
    }

    /// Two that start at once on one database that is new; none without a PostgreSQL, since a SQLite file has one server.
    pub(crate) async fn two() -> Option<[Self; 2]> {
        postgres()?;
        let database = fresh_postgres().await;
        let start = async || {
            let clock = ManualClock::new(time::macros::datetime!(2021-03-01 12:00 UTC));
            let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::ephemeral().unwrap());
            Self::open("postgres", database.clone(), folder, clock, issuer, true).await
        };
        let (one, other) = tokio::join!(start(), start());
        Some([one, other])
    }

    async fn start(kind: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = match kind {
            "postgres" => fresh_postgres().await,
            _ => DatabaseUrl::Sqlite(folder.path().to_owned()),
        };
        let clock = ManualClock::new(time::macros::datetime!(2021-03-01 12:00 UTC));
        Self::open(
            kind,
            database,
            folder,
            clock,
            Issuer::ephemeral().unwrap(),
            true,
        )
        .await
    }

    async fn open(
        kind: &'static str,
        database: DatabaseUrl,
        folder: TempDir,
        clock: Arc<ManualClock>,
        issuer: Issuer,
        creates_tokens: bool,
    ) -> Self {
        let tasks = Tasks::new();
        let options = Options {
            database: database.clone(),
            layout: Layout::new("granary").unwrap(),
            clock: Arc::new(clock.clone()),
            issuer: issuer.clone(),
            creates_tokens,
            issuers: vec![issuer.name().to_owned(), ISSUER.to_owned()],
            audit_kept: Duration::from_secs(90 * 24 * 3600),
        };
        let metadata = options.build(&tasks).await.unwrap();
        metadata.check().await.unwrap();
        let mut routes = Routes::builder();
        metadata.mount(&mut routes);
        Self {
            clock,
            tasks,
            kind,
            metadata,
            issuer,
            folder,
            routes: routes.routes(),
            database,
            creates_tokens,
        }
    }

    /// Stops, and starts again on the same database.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            clock,
            tasks,
            kind,
            metadata,
            issuer,
            folder,
            routes,
            database,
            creates_tokens,
        } = self;
        drop((metadata, routes));
        assert!(
            tasks.drain(Duration::from_secs(10)).await,
            "a task did not end"
        );
        Self::open(kind, database, folder, clock, issuer, creates_tokens).await
    }

    /// The same, on a server whose tokens come from elsewhere.
    pub(crate) async fn without_tokens(mut self) -> Self {
        self.creates_tokens = false;
        self.restart().await
    }

    pub(crate) fn link(&self, subject: &str, role: Role) -> Link {
        self.link_with(TokenSource::renewed(self.issuer.clone(), subject, role))
    }

    /// As somebody who has only the roles that projects give.
    pub(crate) fn link_as(&self, subject: &str) -> Link {
        let lifetime = Duration::from_secs(600);
        let (token, _) = self.issuer.issue(subject, None::<Role>, lifetime).unwrap();
        self.link_with(TokenSource::fixed(&token).unwrap())
    }

    /// As who a token stands for. Each link remembers by itself who may do what: a new one knows nothing yet.
    pub(crate) fn link_with(&self, token: TokenSource) -> Link {
        let auth = AuthLayer::inside(self.issuer.verifier(), Some(self.directory()));
        Link::local(protect(self.routes.clone(), &auth), token)
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory::new(self.unchecked("service:directory"))
    }

    /// As a service that is let in everywhere, by who asks nobody.
    pub(crate) fn unchecked(&self, subject: &str) -> Link {
        let auth = AuthLayer::inside(self.issuer.verifier(), None);
        let token = TokenSource::renewed(self.issuer.clone(), subject, Role::Service);
        Link::local(protect(self.routes.clone(), &auth), token)
    }

    /// Who may do what, as services ask it.
    pub(crate) fn access(&self) -> AccessServiceClient<Link> {
        AccessServiceClient::new(self.link("service:storage", Role::Service))
    }

    /// Assets as the Storage and Pipeline services reach them.
    pub(crate) fn service_assets(&self) -> AssetServiceClient<Link> {
        AssetServiceClient::new(self.link("service:storage", Role::Service))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) async fn project(&self, id: &str) {
        let request = CreateProjectRequest {
            project_id: id.into(),
            ..Default::default()
        };
        self.projects().create_project(request).await.unwrap();
    }

    pub(crate) async fn dataset(&self, project: &str, id: &str) {
        let request = CreateDatasetRequest {
            parent: format!("projects/{project}"),
            dataset_id: id.into(),
            ..Default::default()
        };
        self.datasets().create_dataset(request).await.unwrap();
    }

    pub(crate) async fn try_session(
        &self,
        id: &str,
        attributes: Attributes,
    ) -> Result<Session, Status> {
        let session = Session {
            attributes,
            ..Default::default()
        };
        let request = CreateSessionRequest {
            parent: DATASET.into(),
            session: Some(session),
            session_id: id.into(),
            ..Default::default()
        };
        self.sessions()
            .create_session(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn session(&self, id: &str, attributes: Attributes) -> Session {
        self.try_session(id, attributes).await.unwrap()
    }

    pub(crate) async fn register(
        &self,
        session: &str,
        assets: Vec<Asset>,
    ) -> Result<Vec<Asset>, Status> {
        let request = BatchCreateAssetsRequest {
            parent: session.into(),
            assets,
        };
        Ok(self
            .service_assets()
            .batch_create_assets(request)
            .await?
            .into_inner()
            .assets)
    }

    /// A result for each: the state, or the error.
    pub(crate) async fn apply(
        &self,
        updates: Vec<AssetStateUpdate>,
    ) -> Vec<Result<i32, (Code, String)>> {
        let request = BatchUpdateAssetStatesRequest {
            parent: "projects/default".into(),
            updates,
        };
        let results = self
            .service_assets()
            .batch_update_asset_states(request)
            .await
            .unwrap()
            .into_inner()
            .results;
        results
            .into_iter()
            .map(|result| match result.error {
                Some(error) => Err((Code::from(error.code), error.message)),
                None => Ok(result.state),
            })
            .collect()
    }

    pub(crate) async fn tell(&self, names: &[String], event: AssetEvent) {
        let updates = names.iter().map(|name| update(name, event)).collect();
        for result in self.apply(updates).await {
            result.unwrap();
        }
    }

    pub(crate) async fn complete(&self, session: &str) -> Result<Session, Status> {
        let request = CompleteSessionRequest {
            name: session.into(),
            asset_count: 0,
        };
        Ok(self
            .sessions()
            .complete_session(request)
            .await?
            .into_inner())
    }

    pub(crate) async fn finish(&self, request: FinishSessionRequest) -> Result<Session, Status> {
        let mut client = SessionServiceClient::new(self.link("service:pipeline", Role::Service));
        Ok(client.finish_session(request).await?.into_inner())
    }

    /// A session with assets at these paths, all ready.
    pub(crate) async fn ready(
        &self,
        id: &str,
        attributes: Attributes,
        paths: &[&str],
    ) -> (String, Vec<Asset>) {
        let session = self.session(id, attributes).await.name;
        let assets = self
            .register(&session, paths.iter().map(|path| asset(path)).collect())
            .await
            .unwrap();
        let names: Vec<_> = assets.iter().map(|asset| asset.name.clone()).collect();
        self.tell(&names, AssetEvent::Stored).await;
        self.tell(&names, AssetEvent::Accepted).await;
        (session, assets)
    }

    /// The paths of the assets that match.
    pub(crate) async fn find(&self, filter: &str) -> Result<Vec<String>, Status> {
        let request = ListAssetsRequest {
            parent: "projects/default/datasets/-".into(),
            page_size: 1000,
            filter: filter.into(),
            ..Default::default()
        };
        let found = self
            .assets()
            .list_assets(request)
            .await?
            .into_inner()
            .assets;
        Ok(found.into_iter().map(|asset| asset.path).collect())
    }
}

pub(crate) fn asset(path: &str) -> Asset {
    Asset {
        path: path.into(),
        size_bytes: 10,
        sha256: sha256(path),
        media_type: granary_core::media::from_path(path).into(),
        ..Default::default()
    }
}

/// Something that looks like a checksum and follows from a text.
pub(crate) fn sha256(text: &str) -> String {
    text.bytes()
        .cycle()
        .take(32)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(crate) fn update(name: &str, event: AssetEvent) -> AssetStateUpdate {
    AssetStateUpdate {
        name: name.into(),
        event: event.into(),
        ..Default::default()
    }
}

pub(crate) fn attributes<const N: usize>(pairs: [(&str, Value); N]) -> Attributes {
    wire_attributes(
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

pub(crate) fn session_name(id: &str) -> String {
    SessionName::new("default", "raw", id).unwrap().to_string()
}

/// The code of a failure, and what it says.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code) -> String {
    let status = result.expect_err("the call should be refused");
    assert_eq!(status.code(), code, "{status:?}");
    status.message().to_owned()
}

/// The field that a failure blames.
#[track_caller]
pub(crate) fn blamed<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    use tonic_types::StatusExt as _;
    let status = result.expect_err("the call should be refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    status.get_details_bad_request().unwrap().field_violations[0]
        .field
        .clone()
}
