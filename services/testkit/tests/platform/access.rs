//! Nobody gets in without a token, and no URL gives more than it was made for.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::time::Duration;

use granary_core::name::{ProjectName, SessionName};
use granary_proto::{
    metadata::v1::{
        CreateSessionRequest, GetProjectRequest, Session,
        project_service_client::ProjectServiceClient,
    },
    storage::v1::{
        BatchCreateDownloadsRequest, BatchCreateUploadsRequest, SignedRequest, UploadRequest,
        download_service_client::DownloadServiceClient, upload_service_client::UploadServiceClient,
    },
};
use granary_runtime::auth::{Issuer, Role};
use granary_testkit::{TestNode, backends};
use sha2::{Digest as _, Sha256};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

async fn call_with(node: &TestNode, token: &str) -> Result<(), tonic::Status> {
    ProjectServiceClient::new(node.link_with(token))
        .get_project(GetProjectRequest {
            name: "projects/default".into(),
        })
        .await
        .map(drop)
}

#[tokio::test]
async fn wrong_foreign_and_expired_tokens_are_one_message() {
    let node = TestNode::start().await;
    call_with(&node, &node.token()).await.unwrap();
    let foreign = Issuer::ephemeral()
        .unwrap()
        .issue("eve", Role::Administrator, Duration::from_secs(60))
        .unwrap()
        .0;
    let own = Issuer::open(&node.folder().join("data/issuer-key")).unwrap();
    let expired = own
        .issue("ada", Role::Administrator, Duration::ZERO)
        .unwrap()
        .0;
    let good = own
        .issue("ada", Role::Administrator, Duration::from_secs(60))
        .unwrap()
        .0;
    call_with(&node, &good).await.unwrap();
    let mut messages = Vec::new();
    for token in ["nonsense", foreign.as_str(), &format!("{good}x")] {
        let status = call_with(&node, token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{token}");
        assert!(!status.message().contains(token), "the token is repeated");
        messages.push(status.message().to_owned());
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    // Thirty seconds of clock skew are allowed, so this one still passes; what ended before that does not.
    call_with(&node, &expired).await.unwrap();
}

#[tokio::test]
async fn nothing_but_health_answers_without_a_token() {
    let node = TestNode::start().await;
    let channel = Endpoint::from_shared(node.endpoint())
        .unwrap()
        .connect()
        .await
        .unwrap();
    HealthClient::new(channel.clone())
        .check(HealthCheckRequest::default())
        .await
        .unwrap();
    let status = ProjectServiceClient::new(channel)
        .get_project(GetProjectRequest {
            name: "projects/default".into(),
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

async fn uploads(
    node: &TestNode,
    session: &SessionName,
    path: &str,
    bytes: &[u8],
) -> SignedRequest {
    let request = UploadRequest {
        path: path.into(),
        size_bytes: i64::try_from(bytes.len()).unwrap(),
        sha256: hex(&Sha256::digest(bytes)),
        ..UploadRequest::default()
    };
    let response = UploadServiceClient::new(node.link())
        .batch_create_uploads(BatchCreateUploadsRequest {
            parent: session.to_string(),
            requests: vec![request],
        })
        .await
        .unwrap()
        .into_inner();
    response.uploads.into_iter().next().unwrap().put.unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

async fn open_session(node: &TestNode) -> SessionName {
    let dataset = node.dataset("raw").await;
    let request = CreateSessionRequest {
        parent: dataset.to_string(),
        session: Some(Session::default()),
        session_id: "s".into(),
        request_id: String::new(),
    };
    node.sessions().create_session(request).await.unwrap();
    dataset.session("s").unwrap()
}

async fn send(request: &SignedRequest, url: &str, bytes: Vec<u8>, headers: bool) -> u16 {
    let mut call = reqwest::Client::new().put(url).body(bytes);
    if headers {
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
    }
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_upload_url_writes_these_bytes_there_and_once() {
    for backend in backends() {
        let node = TestNode::start_on(&backend).await;
        let session = open_session(&node).await;
        let bytes = b"0123456789".to_vec();
        let put = uploads(&node, &session, "a b/\u{e9}.bin", &bytes).await;

        let other_key = put.url.replace(".bin", ".bim");
        assert_eq!(
            send(&put, &other_key, bytes.clone(), true).await,
            403,
            "another key on {backend:?}"
        );
        let longer = put.url.replace("X-Amz-Expires=", "X-Amz-Expires=9");
        assert_eq!(
            send(&put, &longer, bytes.clone(), true).await,
            403,
            "a longer life on {backend:?}"
        );
        // MinIO says 400 AccessDenied here.
        let status = send(&put, &put.url, bytes.clone(), false).await;
        assert!(
            matches!(status, 400 | 403),
            "without the signed headers on {backend:?}: {status}"
        );
        let status = send(&put, &put.url, b"9876543210".to_vec(), true).await;
        assert_eq!(status, 400, "other bytes on {backend:?}");
        assert_eq!(
            send(&put, &put.url, bytes.clone(), true).await,
            200,
            "as signed on {backend:?}"
        );
        assert_eq!(
            send(&put, &put.url, bytes.clone(), true).await,
            412,
            "a second time on {backend:?}"
        );
    }
}

#[tokio::test]
async fn a_download_url_reads_one_object_and_nothing_else() {
    for backend in backends() {
        let node = TestNode::start_on(&backend).await;
        let dataset = node.dataset("raw").await;
        let session = node
            .session(
                &dataset,
                "s",
                Session::default(),
                vec![("a.bin", b"hello".to_vec()), ("b.bin", b"other".to_vec())],
            )
            .await;
        let request = BatchCreateDownloadsRequest {
            parent: ProjectName::new("default").unwrap().to_string(),
            assets: vec![session.asset("a.bin").to_string()],
        };
        let get = DownloadServiceClient::new(node.link())
            .batch_create_downloads(request)
            .await
            .unwrap()
            .into_inner()
            .downloads[0]
            .get
            .clone()
            .unwrap();
        let status =
            |url: String| async move { reqwest::get(url).await.unwrap().status().as_u16() };
        assert_eq!(
            reqwest::get(&get.url).await.unwrap().bytes().await.unwrap(),
            "hello"
        );
        assert_eq!(status(get.url.replace("a.bin", "b.bin")).await, 403);
        assert_eq!(
            status(get.url.split('?').next().unwrap().to_owned()).await,
            403
        );
        let deleted = reqwest::Client::new()
            .delete(&get.url)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16();
        assert_eq!(deleted, 403);
    }
}
