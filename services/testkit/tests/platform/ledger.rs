//! What a whole platform records of its calls: who did what, what projects used, and no secret.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

use granary_proto::{
    identity::v1::{
        AuditEntry, AuditVerdict, GetQuotaRequest, ListAuditEntriesRequest, ListDailyUsageRequest,
        Quota, UpdateQuotaRequest, audit_service_client::AuditServiceClient,
        usage_service_client::UsageServiceClient,
    },
    metadata::v1::{
        CreateSessionRequest, GetProjectRequest, Session,
        project_service_client::ProjectServiceClient,
    },
    storage::v1::{BatchCreateDownloadsRequest, download_service_client::DownloadServiceClient},
};
use granary_runtime::{Link, auth::TokenSource};
use granary_testkit::{TestNode, backends};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};
use tonic::{Code, transport::Endpoint};

async fn entries(node: &TestNode, parent: &str) -> Vec<AuditEntry> {
    node.recorded().await;
    let request = ListAuditEntriesRequest {
        parent: parent.into(),
        page_size: 1000,
        ..ListAuditEntriesRequest::default()
    };
    let answer = AuditServiceClient::new(node.link())
        .list_audit_entries(request)
        .await;
    answer.unwrap().into_inner().entries
}

fn method(entry: &AuditEntry) -> &str {
    entry.method.rsplit('/').next().unwrap()
}

async fn quota(node: &TestNode) -> Quota {
    let request = GetQuotaRequest {
        name: "projects/default/quota".into(),
    };
    let answer = UsageServiceClient::new(node.link())
        .get_quota(request)
        .await;
    answer.unwrap().into_inner()
}

async fn limit(node: &TestNode, quota: Quota) {
    let request = UpdateQuotaRequest {
        quota: Some(Quota {
            name: "projects/default/quota".into(),
            ..quota
        }),
        update_mask: None,
    };
    UsageServiceClient::new(node.link())
        .update_quota(request)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_people_do_is_recorded_with_what_services_do_for_them_and_no_secret() {
    for backend in backends() {
        let node = TestNode::start_on(&backend).await;
        let dataset = node.dataset("raw").await;
        let files = vec![("a.txt", b"hello".to_vec()), ("b.txt", b"world!".to_vec())];
        let session = node.session(&dataset, "s", Session::default(), files).await;
        let request = BatchCreateDownloadsRequest {
            parent: "projects/default".into(),
            assets: vec![session.asset("a.txt").to_string()],
        };
        let signed = DownloadServiceClient::new(node.link())
            .batch_create_downloads(request)
            .await;
        let signed = format!("{:?}", signed.unwrap().into_inner());
        let channel = Endpoint::from_shared(node.endpoint())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let stranger = Link::remote(channel, TokenSource::fixed("no.such.token").unwrap());
        let request = GetProjectRequest {
            name: "projects/default".into(),
        };
        let refused = ProjectServiceClient::new(stranger)
            .get_project(request)
            .await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);

        let kept = entries(&node, "projects/-").await;
        let find = |what: &str| {
            kept.iter()
                .find(|entry| method(entry) == what)
                .unwrap_or_else(|| panic!("{what}: {kept:?}"))
        };
        for what in [
            "CreateDataset",
            "CreateSession",
            "BatchCreateUploads",
            "BatchCompleteUploads",
            "CompleteSession",
            "BatchCreateDownloads",
        ] {
            let entry = find(what);
            assert_eq!(
                (entry.verdict(), entry.on_behalf_of.as_str()),
                (AuditVerdict::Allowed, ""),
                "{what}"
            );
            assert_eq!(entry.remote_address, "127.0.0.1", "{what}");
            assert!(
                !entry.request_id.is_empty() && entry.resource.starts_with("projects/default"),
                "{what}"
            );
        }
        let about = |what| (find(what).resource.as_str(), find(what).item_count);
        let (parent, asset) = (
            session.parent().to_string(),
            session.asset("a.txt").to_string(),
        );
        assert_eq!(about("CreateSession"), (&*session.to_string(), 0));
        assert_eq!(about("BatchCreateDownloads"), (&*asset, 0));
        assert_eq!(about("BatchCompleteUploads"), (&*parent, 2));
        let registered = find("BatchCreateAssets");
        assert_eq!(registered.subject, "service:storage");
        assert_eq!(registered.on_behalf_of, find("CreateDataset").subject);
        let denied = find("GetProject");
        assert_eq!(
            (denied.verdict(), denied.subject.as_str()),
            (AuditVerdict::Denied, "")
        );
        let text = format!("{kept:?}");
        assert!(signed.contains("X-Amz-Signature"), "{signed}");
        for secret in ["X-Amz", "Signature", "no.such.token", &node.token()] {
            assert!(!text.contains(secret), "{secret} is in the audit log");
        }
    }
}

#[tokio::test]
async fn what_was_uploaded_is_in_the_ledger_and_a_full_project_takes_no_more() {
    let node = TestNode::start().await;
    let dataset = node.dataset("raw").await;
    let files = vec![("a.txt", b"hello".to_vec()), ("b.txt", b"world!".to_vec())];
    let session = node.session(&dataset, "s", Session::default(), files).await;
    node.processed(&session).await;
    node.recorded().await;
    let held = quota(&node).await;
    assert_eq!((held.used_bytes, held.used_objects), (11, 2));
    assert!(held.used_daily_requests >= 5, "{held:?}");

    limit(
        &node,
        Quota {
            max_objects: 3,
            ..Quota::default()
        },
    )
    .await;
    let request = CreateSessionRequest {
        parent: dataset.to_string(),
        session: Some(Session::default()),
        session_id: "more".into(),
        request_id: String::new(),
    };
    node.sessions().create_session(request).await.unwrap();
    let items = ["c.txt", "d.txt"].map(|path| Item {
        path: path.into(),
        source: Source::Bytes(b"x".to_vec().into()),
        media_type: "text/plain".into(),
        derived_from: vec![],
        producer: String::new(),
    });
    let more = dataset.session("more").unwrap();
    let uploaded = Uploader::new(node.link(), UploadOptions::default())
        .upload(&more, items.into(), &NoProgress)
        .await;
    let error = uploaded
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        error.contains("max_objects") && error.contains("1 assets are left"),
        "{error}"
    );

    let request = ListDailyUsageRequest {
        parent: "projects/default".into(),
        ..Default::default()
    };
    let days = UsageServiceClient::new(node.link())
        .list_daily_usage(request)
        .await;
    let days = days.unwrap().into_inner().days;
    assert_eq!(days.iter().map(|day| day.added_bytes).sum::<i64>(), 11);
    assert_eq!(days.last().unwrap().held_objects, 2);
}

#[tokio::test]
async fn the_ledger_survives_a_restart() {
    let mut node = TestNode::start().await;
    node.dataset("raw").await;
    node.restart().await;
    let kept = entries(&node, "projects/default").await;
    assert_eq!(
        kept.iter()
            .filter(|entry| method(entry) == "CreateDataset")
            .count(),
        1
    );
    assert!(quota(&node).await.used_daily_requests >= 1);
}
