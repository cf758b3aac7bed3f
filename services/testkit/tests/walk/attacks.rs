//! Those who try what is not theirs: names, headers, signed URLs and page tokens of other tenants. What is tried in every field of every
//! request is in `fields.rs`.

use granary_core::name::{AssetName, DatasetName, SessionName};
use granary_proto::{
    identity::v1::ProjectRole,
    metadata::v1::{
        BatchGetAssetsRequest, CreateSnapshotRequest, GetSessionRequest, ListSessionsRequest,
        Session, session_service_client::SessionServiceClient,
    },
    prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value},
    storage::v1::{
        BatchCompleteUploadsRequest, BatchCopyAssetsRequest, BatchCreateDownloadsRequest,
        CompleteUploadRequest, CopyRequest, download_service_client::DownloadServiceClient,
        upload_service_client::UploadServiceClient,
    },
};
use granary_runtime::{Link, auth::TokenSource};
use tonic::{Code, transport::Endpoint};

use crate::world::World;

/// A request with these texts in every field called `parent` and `name`, also of what is embedded in it, and nothing else: whoever lets it
/// through answers what is wrong with it.
pub(crate) fn named(descriptor: &MessageDescriptor, parent: &str, name: &str) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor
        .fields()
        .filter(|field| !field.is_list() && !field.is_map())
    {
        let value = match (field.name(), field.kind()) {
            ("parent" | "project", Kind::String) => Value::String(parent.to_owned()),
            ("name", Kind::String) => Value::String(name.to_owned()),
            (_, Kind::Message(inner)) if inner.get_field_by_name("name").is_some() => {
                Value::Message(named(&inner, parent, name))
            }
            _ => continue,
        };
        message.set_field(&field, value);
    }
    message
}

/// Two tenants: one who tries, and one who has something.
struct Tenants {
    world: World,
    eve: Link,
    theirs: SessionName,
    asset: AssetName,
}

impl Tenants {
    async fn start() -> Self {
        let world = World::start().await;
        for (project, owner) in [("mine", "eve"), ("theirs", "ada")] {
            world.project(project).await;
            world.member(project, owner, ProjectRole::Owner).await;
        }
        let mut sessions = Vec::new();
        for project in ["mine", "theirs"] {
            let dataset = DatasetName::new(project, "raw").unwrap();
            world.dataset(&dataset).await;
            let files = vec![("a.bin", b"secret".to_vec())];
            let session = world.node.session(&dataset, "s", Session::default(), files);
            sessions.push(session.await);
        }
        let theirs = sessions.pop().unwrap();
        let channel = Endpoint::from_shared(world.node.endpoint())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let eve = Link::remote(
            channel,
            TokenSource::fixed(&world.token("eve", None)).unwrap(),
        );
        let asset = theirs.asset("a.bin");
        Self {
            world,
            eve,
            theirs,
            asset,
        }
    }

    fn sessions(&self) -> SessionServiceClient<Link> {
        SessionServiceClient::new(self.eve.clone())
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, tonic::Status>, code: Code) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    assert!(!status.message().contains("secret"), "{status:?}");
}

#[tokio::test]
async fn what_another_tenant_has_is_not_there() {
    let tenants = Tenants::start().await;
    let there = GetSessionRequest {
        name: tenants.theirs.to_string(),
    };
    let nowhere = GetSessionRequest {
        name: "projects/theirs/datasets/raw/sessions/nothing".into(),
    };
    let no_project = GetSessionRequest {
        name: "projects/nobodys/datasets/raw/sessions/s".into(),
    };
    let mut told = Vec::new();
    for request in [there, nowhere, no_project] {
        let project = request.name.split('/').nth(1).unwrap().to_owned();
        let status = tenants.sessions().get_session(request).await.unwrap_err();
        told.push((status.code(), status.message().replace(&project, "P")));
    }
    assert!(told.iter().all(|answer| *answer == told[0]), "{told:?}");
    assert_eq!(told[0].0, Code::NotFound);
}

#[tokio::test]
async fn names_of_another_tenant_are_refused_inside_of_requests_too() {
    let tenants = Tenants::start().await;
    let mine = tenants.theirs.to_string().replace("theirs", "mine");
    let asset = tenants.asset.to_string();
    let request = BatchGetAssetsRequest {
        parent: "projects/mine".into(),
        names: vec![asset.clone()],
    };
    let mut assets = granary_proto::metadata::v1::asset_service_client::AssetServiceClient::new(
        tenants.eve.clone(),
    );
    refused(
        assets.batch_get_assets(request).await,
        Code::InvalidArgument,
    );
    let request = BatchCreateDownloadsRequest {
        parent: "projects/mine".into(),
        assets: vec![asset.clone()],
    };
    let mut downloads = DownloadServiceClient::new(tenants.eve.clone());
    refused(
        downloads.batch_create_downloads(request).await,
        Code::InvalidArgument,
    );
    let copy = CopyRequest {
        source: asset.clone(),
        path: "stolen.bin".into(),
        ..CopyRequest::default()
    };
    let request = BatchCopyAssetsRequest {
        parent: mine,
        requests: vec![copy],
    };
    let mut uploads = UploadServiceClient::new(tenants.eve.clone());
    refused(
        uploads.batch_copy_assets(request).await,
        Code::InvalidArgument,
    );
    let upload = asset.replace("/assets/", "/uploads/");
    let request = BatchCompleteUploadsRequest {
        parent: "projects/mine/datasets/raw".into(),
        requests: vec![CompleteUploadRequest { name: upload }],
    };
    refused(
        uploads.batch_complete_uploads(request).await,
        Code::InvalidArgument,
    );
    let request = CreateSnapshotRequest {
        parent: "projects/theirs/datasets/raw".into(),
        snapshot_id: "stolen".into(),
        ..CreateSnapshotRequest::default()
    };
    let mut snapshots =
        granary_proto::metadata::v1::snapshot_service_client::SnapshotServiceClient::new(
            tenants.eve.clone(),
        );
    refused(snapshots.create_snapshot(request).await, Code::NotFound);
}

#[tokio::test]
async fn a_page_token_of_another_tenant_is_worth_nothing() {
    let tenants = Tenants::start().await;
    let dataset = DatasetName::new("theirs", "raw").unwrap();
    let session = tenants.world.node.session(
        &dataset,
        "s2",
        Session::default(),
        vec![("b.bin", b"b".to_vec())],
    );
    session.await;
    let list = |project: &str, page_token: String| ListSessionsRequest {
        parent: format!("projects/{project}/datasets/raw"),
        page_size: 1,
        page_token,
        ..ListSessionsRequest::default()
    };
    let first = tenants
        .world
        .node
        .sessions()
        .list_sessions(list("theirs", String::new()))
        .await;
    let token = first.unwrap().into_inner().next_page_token;
    assert!(!token.is_empty());
    refused(
        tenants
            .sessions()
            .list_sessions(list("theirs", token.clone()))
            .await,
        Code::NotFound,
    );
    refused(
        tenants.sessions().list_sessions(list("mine", token)).await,
        Code::InvalidArgument,
    );
}

#[tokio::test]
async fn a_header_that_names_somebody_else_says_nothing() {
    let tenants = Tenants::start().await;
    let mut request = tonic::Request::new(GetSessionRequest {
        name: tenants.theirs.to_string(),
    });
    for header in [
        "granary-on-behalf-of",
        "x-forwarded-user",
        "x-jwt-payload",
        "x-envoy-peer-metadata",
    ] {
        let ada = tonic::metadata::MetadataValue::from_static(
            "eyJpc3N1ZXIiOiJ4Iiwic3ViamVjdCI6ImFkYSIsImVtYWlsIjpudWxsLCJyb2xlIjoiYWRtaW5pc3RyYXRvciIsImV4cGlyZXMiOjk5OTk5OTk5OTl9",
        );
        request.metadata_mut().insert(header, ada);
    }
    refused(
        tenants.sessions().get_session(request).await,
        Code::NotFound,
    );
}

#[tokio::test]
async fn a_signed_url_of_ones_own_opens_nothing_of_another_tenant() {
    let tenants = Tenants::start().await;
    let mine = tenants.theirs.to_string().replace("theirs", "mine");
    let mine = SessionName::parse(&mine).unwrap();
    let request = BatchCreateDownloadsRequest {
        parent: "projects/mine".into(),
        assets: vec![mine.asset("a.bin").to_string()],
    };
    let mut downloads = DownloadServiceClient::new(tenants.eve.clone());
    let signed = downloads.batch_create_downloads(request).await.unwrap();
    let get = signed.into_inner().downloads.remove(0).get.unwrap();
    assert_eq!(status_of(&get.url).await, 200);
    let theirs = get.url.replace("/mine/", "/theirs/");
    assert_ne!(theirs, get.url);
    assert_eq!(status_of(&theirs).await, 403);
}

async fn status_of(url: &str) -> u16 {
    let answer = reqwest::get(url).await.unwrap();
    answer.status().as_u16()
}
