//! Many people at once.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use granary_core::name::{DatasetName, ProjectName};
use granary_proto::metadata::v1::{
    CreateDatasetRequest, CreateLabelRequest, Dataset, DatasetKind, GetSessionRequest, Label,
    ListDatasetsRequest, Session, SessionState, dataset_service_client::DatasetServiceClient,
    label_service_client::LabelServiceClient, session_service_client::SessionServiceClient,
};
use granary_runtime::{
    Link,
    auth::{Issuer, Role, TokenSource},
};
use granary_testkit::{TestNode, backends, send};
use tonic::transport::Endpoint;

const USERS: usize = 100;

/// Somebody with a token and a connection of their own.
async fn user(node: &TestNode, number: usize) -> Link {
    let issuer = Issuer::open(&node.folder().join("data/issuer-key")).unwrap();
    let subject = format!("user-{number}");
    let token = issuer.issue(&subject, Role::Administrator, Duration::from_secs(600));
    let channel = Endpoint::from_shared(node.endpoint()).unwrap();
    let channel = channel.connect().await.unwrap();
    Link::remote(channel, TokenSource::fixed(&token.unwrap().0).unwrap())
}

/// Makes a dataset, sends a session of three files, labels one of them, and says who is noted as its author.
async fn work(link: Link, number: usize) -> (DatasetName, String) {
    let project = ProjectName::new("default").unwrap();
    let dataset = DatasetName::new("default", format!("of-{number:03}")).unwrap();
    let request = CreateDatasetRequest {
        parent: project.to_string(),
        dataset: Some(Dataset {
            kind: DatasetKind::Raw.into(),
            ..Dataset::default()
        }),
        dataset_id: dataset.dataset.clone(),
        request_id: String::new(),
    };
    let mut datasets = DatasetServiceClient::new(link.clone());
    datasets.create_dataset(request).await.unwrap();
    let own = format!("bytes of {number}").into_bytes();
    let files = vec![("a", own.clone()), ("b", own), ("c", b"of all".to_vec())];
    let session = send(&link, &dataset, "s", Session::default(), files).await;
    let request = CreateLabelRequest {
        parent: session.asset("a").to_string(),
        label: Some(Label {
            class: "seen".into(),
            ..Label::default()
        }),
        ..CreateLabelRequest::default()
    };
    let label = LabelServiceClient::new(link).create_label(request).await;
    (dataset, label.unwrap().into_inner().author)
}

#[tokio::test]
async fn a_hundred_users_at_once_lose_nothing() {
    for backend in backends() {
        let node = TestNode::start_on(&backend).await;
        let users = join_all((0..USERS).map(|number| user(&node, number))).await;
        let working = users.iter().enumerate();
        let done = join_all(working.map(|(number, link)| work(link.clone(), number))).await;
        for (number, (_, author)) in done.iter().enumerate() {
            assert_eq!(*author, format!("user-{number}"));
        }
        let mut sessions = SessionServiceClient::new(users[0].clone());
        for (dataset, _) in &done {
            let name = dataset.session("s").unwrap().to_string();
            let found = sessions.get_session(GetSessionRequest { name }).await;
            let found = found.unwrap().into_inner();
            assert_ne!(found.state(), SessionState::Open);
            assert_eq!(found.asset_count, 3);
        }
        let request = ListDatasetsRequest {
            parent: "projects/default".into(),
            page_size: 1000,
            page_token: String::new(),
        };
        let listed = DatasetServiceClient::new(users[1].clone())
            .list_datasets(request)
            .await;
        let listed = listed.unwrap().into_inner().datasets;
        let listed: BTreeSet<_> = listed.into_iter().map(|dataset| dataset.name).collect();
        let made: BTreeSet<_> = done.iter().map(|(name, _)| name.to_string()).collect();
        assert!(made.is_subset(&listed) && made.len() == USERS);
    }
}
