//! Servers that go away while the platform works: a clear error, and nothing lost.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use granary_core::name::SessionName;
use granary_proto::{
    metadata::v1::{CompleteSessionRequest, CreateSessionRequest, GetSessionRequest, Session},
    storage::v1::{
        BatchCreateUploadsRequest, UploadRequest, upload_service_client::UploadServiceClient,
    },
};
use granary_testkit::{TestNode, backends};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

fn is_clear(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let message = status.message().to_lowercase();
    assert!(message.contains("try again"), "{message}");
    for secret in [
        "select ",
        "insert ",
        "postgres://",
        "x-amz-",
        "sqlx",
        "127.0.0.1",
    ] {
        assert!(!message.contains(secret), "{message}");
    }
}

fn large(path: &str) -> UploadRequest {
    UploadRequest {
        path: path.into(),
        size_bytes: 20 << 20,
        sha256: "0".repeat(64),
        ..UploadRequest::default()
    }
}

async fn sign(node: &TestNode, session: &SessionName) -> Result<(), Status> {
    let request = BatchCreateUploadsRequest {
        parent: session.to_string(),
        requests: vec![large("large.bin")],
    };
    UploadServiceClient::new(node.link())
        .batch_create_uploads(request)
        .await
        .map(drop)
}

fn item(path: &str, bytes: &'static [u8]) -> Item {
    Item {
        path: path.into(),
        source: Source::Bytes(bytes.into()),
        media_type: "application/octet-stream".into(),
        derived_from: vec![],
        producer: String::new(),
    }
}

#[tokio::test]
async fn health_follows_the_database() {
    for backend in backends() {
        let Some((backend, database, _store)) = backend.behind_wires().await else {
            continue;
        };
        let node = TestNode::start_on(&backend).await;
        let mut health = HealthClient::new(node.link())
            .watch(HealthCheckRequest::default())
            .await
            .unwrap()
            .into_inner();
        let mut told = async || health.message().await.unwrap().unwrap().status();
        assert_eq!(told().await, ServingStatus::Serving);
        database.cut();
        assert_eq!(told().await, ServingStatus::NotServing);
        database.mend();
        assert_eq!(told().await, ServingStatus::Serving);
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_outages_of_database_and_store() {
    for backend in backends() {
        let Some((backend, database, store)) = backend.behind_wires().await else {
            continue;
        };
        let node = TestNode::start_on(&backend).await;
        let dataset = node.dataset("raw").await;
        let done = node
            .session(
                &dataset,
                "before",
                Session::default(),
                vec![("a.bin", vec![1; 1000])],
            )
            .await;
        let before = node.processed(&done).await;
        let create = CreateSessionRequest {
            parent: dataset.to_string(),
            session: Some(Session::default()),
            session_id: "during".into(),
            request_id: String::new(),
        };
        let session = dataset.session("during").unwrap();
        node.sessions()
            .create_session(create.clone())
            .await
            .unwrap();

        store.cut();
        is_clear(&sign(&node, &session).await.unwrap_err());
        store.mend();

        database.cut();
        let get = GetSessionRequest {
            name: done.to_string(),
        };
        is_clear(&node.sessions().get_session(get.clone()).await.unwrap_err());
        is_clear(&node.sessions().create_session(create).await.unwrap_err());
        database.mend();

        Uploader::new(node.link(), UploadOptions::default())
            .upload(&session, vec![item("b.bin", b"bytes")], &NoProgress)
            .await
            .unwrap();
        assert_eq!(node.processed(&done).await, before);
        sign(&node, &session).await.unwrap();
        let complete = CompleteSessionRequest {
            name: session.to_string(),
            asset_count: 0,
        };
        let pending = node
            .sessions()
            .complete_session(complete)
            .await
            .unwrap_err();
        assert_eq!(pending.code(), Code::FailedPrecondition, "{pending:?}");
        assert!(pending.message().contains("large.bin"), "{pending:?}");
    }
}
