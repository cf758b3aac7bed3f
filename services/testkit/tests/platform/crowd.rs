//! Many people at once.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use futures::future::join_all;
use granary_core::name::{DatasetName, ProjectName};
use granary_proto::{
    identity::v1::{
        CreateMemberRequest, Member, ProjectRole, member_service_client::MemberServiceClient,
    },
    metadata::v1::{
        CreateDatasetRequest, CreateLabelRequest, Dataset, DatasetKind, Label, ListAssetsRequest,
        ListDatasetsRequest, Session, asset_service_client::AssetServiceClient,
        dataset_service_client::DatasetServiceClient, label_service_client::LabelServiceClient,
    },
};
use granary_runtime::{Link, auth::Issuer};
use granary_testkit::{TestNode, backends, send};
use granary_transfer::{DownloadOptions, Downloader, NoProgress, Wanted};

const USERS: usize = 100;

/// An editor of the project with a token and a connection of their own.
async fn user(node: &TestNode, number: usize) -> Link {
    let issuer = Issuer::open(&node.folder().join("data/issuer-key")).unwrap();
    let subject = format!("user-{number}");
    let request = CreateMemberRequest {
        parent: "projects/default".into(),
        member: Some(Member {
            role: ProjectRole::Editor.into(),
            issuer: issuer.name().into(),
            subject: subject.clone(),
            ..Member::default()
        }),
        request_id: String::new(),
    };
    let mut members = MemberServiceClient::new(node.link());
    members.create_member(request).await.unwrap();
    let token = issuer.issue(&subject, None, Duration::from_secs(600));
    node.link_with(&token.unwrap().0)
}

async fn make(link: &Link, dataset: &DatasetName) {
    let request = CreateDatasetRequest {
        parent: format!("projects/{}", dataset.project),
        dataset: Some(Dataset {
            kind: DatasetKind::Raw.into(),
            ..Dataset::default()
        }),
        dataset_id: dataset.dataset.clone(),
        request_id: String::new(),
    };
    let mut datasets = DatasetServiceClient::new(link.clone());
    datasets.create_dataset(request).await.unwrap();
}

/// A day of one of them: a dataset, a session of three files, a label, a list of what there is, and the files back.
async fn work(node: &TestNode, link: Link, number: usize) {
    let dataset = DatasetName::new("default", format!("of-{number:03}")).unwrap();
    make(&link, &dataset).await;
    let files = ["a", "b", "c"].map(|path| (path, format!("{path} of {number}").into_bytes()));
    let session = send(&link, &dataset, "s", Session::default(), files.to_vec()).await;

    let request = CreateLabelRequest {
        parent: session.asset("a").to_string(),
        label: Some(Label {
            class: "seen".into(),
            ..Label::default()
        }),
        ..CreateLabelRequest::default()
    };
    let mut labels = LabelServiceClient::new(link.clone());
    let label = labels.create_label(request).await.unwrap();
    assert_eq!(label.into_inner().author, format!("user-{number}"));

    let request = ListAssetsRequest {
        parent: dataset.to_string(),
        ..ListAssetsRequest::default()
    };
    let mut assets = AssetServiceClient::new(link.clone());
    let listed = assets.list_assets(request).await.unwrap();
    let listed = listed.into_inner().assets;
    let folder = node.folder().join(&dataset.dataset);
    let wanted = listed.iter().map(|asset| Wanted {
        asset: session.asset(&asset.path),
        size_bytes: u64::try_from(asset.size_bytes).unwrap(),
        sha256: asset.sha256.clone(),
        to: folder.join(&asset.path),
    });
    let project = ProjectName::new("default").unwrap();
    let downloader = Downloader::new(link, DownloadOptions::default());
    let fetched = downloader.download(&project, wanted.collect(), &NoProgress);
    assert_eq!(fetched.await.unwrap().files, 3);
    for (path, bytes) in files {
        assert_eq!(std::fs::read(folder.join(path)).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_hundred_users_at_once_lose_nothing() {
    for backend in backends() {
        let node = TestNode::start_on(&backend).await;
        let users = join_all((0..USERS).map(|number| user(&node, number))).await;
        let working = users.into_iter().enumerate();
        join_all(working.map(|(number, link)| work(&node, link, number))).await;
        let request = ListDatasetsRequest {
            parent: "projects/default".into(),
            page_size: 1000,
            page_token: String::new(),
        };
        let mut datasets = DatasetServiceClient::new(node.link());
        let listed = datasets.list_datasets(request).await.unwrap();
        let listed = listed.into_inner().datasets;
        let made = listed
            .iter()
            .filter(|dataset| dataset.name.contains("/of-"));
        assert_eq!(made.count(), USERS);
    }
}
