//! What `granary serve` says when it cannot serve.
#![allow(clippy::unwrap_used, reason = "a test")]

use granary::serve::{Platform, Settings};
use granary_runtime::secret::Secret;
use granary_testkit::TestNode;

fn settings(folder: &std::path::Path) -> Settings {
    let mut settings = Settings::in_folder(folder.join("data"));
    settings.listen = "127.0.0.1:0".parse().unwrap();
    settings.s3_listen = "127.0.0.1:0".parse().unwrap();
    settings
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let node = TestNode::start().await;
    let error = Platform::start(settings(node.folder()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("another granary serve uses it") && error.contains("--data-dir"),
        "{error}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut first = settings(folder.path());
    first.listen = taken.local_addr().unwrap();
    let error = Platform::start(first).await.unwrap_err().to_string();
    assert!(
        error.contains("another program listens there") && error.contains("--listen"),
        "{error}"
    );
    let mut second = settings(folder.path());
    second.s3_listen = taken.local_addr().unwrap();
    let error = Platform::start(second).await.unwrap_err().to_string();
    assert!(error.contains("--s3-listen"), "{error}");
}

#[tokio::test]
async fn data_of_a_newer_version_is_left_alone() {
    let mut node = TestNode::start().await;
    let file = node.folder().join("data/format");
    node.restart().await;
    let before = std::fs::read_to_string(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(
        folder.path().join("data/format"),
        format!("{}\n", before.trim().parse::<u32>().unwrap() + 1),
    )
    .unwrap();
    let error = Platform::start(settings(folder.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("newer version of granary"), "{error}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_said_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.database_url = Some(Secret::new(
        "postgres://granary:hunter2@127.0.0.1:1/granary",
    ));
    let error = Platform::start(settings).await.unwrap_err().to_string();
    assert!(error.contains("database does not answer"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn data_is_there_after_a_restart() {
    let mut node = TestNode::start().await;
    let dataset = node.dataset("raw").await;
    let session = node
        .session(
            &dataset,
            "20210229_161221",
            granary_proto::metadata::v1::Session::default(),
            vec![("a.bin", vec![1, 2, 3])],
        )
        .await;
    let before = node.processed(&session).await;
    let token = node.token();
    node.restart().await;
    assert_eq!(node.token(), token);
    assert_eq!(node.processed(&session).await, before);
}
