//! Files that others made: photographs, recordings, and the pictures that decoders are tested with.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test"
)]

use std::{collections::BTreeSet, path::Path};

use granary_core::name::SessionName;
use granary_proto::{
    json,
    metadata::v1::{Asset, AssetState, ListAssetsRequest, Session, SessionState},
    pipeline::v1::{ApplyPipelineRequest, pipeline_service_client::PipelineServiceClient},
};
use granary_testkit::TestNode;

// What the decoders do not take: planes apart, some fax compression, palettes in TIFF.
const PHOTOGRAPHS: [&str; 1] = ["multipage_rgb.tif"];
const PICTURES: [&str; 3] = [
    "bw-gopher_ccittGroup3.tiff",
    "invalid-palette-ref.tiff",
    "video-001-paletted.tiff",
];

async fn apply(node: &TestNode) {
    let definition = serde_json::json!({
        "name": "foreign",
        "on": {"event": "session.completed", "dataset": "foreign"},
        "steps": [
            {"name": "typed", "check": "media-type"},
            {"name": "decodes", "check": "image-decodable", "when": "media_type = \"image/*\"", "with": {"mode": "full"}},
        ],
    });
    let request = ApplyPipelineRequest {
        parent: "projects/default".into(),
        definition: Some(json::from_json(definition).unwrap()),
    };
    PipelineServiceClient::new(node.link())
        .apply_pipeline(request)
        .await
        .unwrap();
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

async fn assets(node: &TestNode, session: &SessionName) -> Vec<Asset> {
    let request = ListAssetsRequest {
        parent: session.parent().to_string(),
        page_size: 1000,
        page_token: String::new(),
        filter: format!("session = \"{}\"", session.session),
    };
    node.assets()
        .list_assets(request)
        .await
        .unwrap()
        .into_inner()
        .assets
}

#[tokio::test]
async fn real_files_are_told_for_what_they_are() {
    let Ok(folder) = std::env::var("GRANARY_TEST_FOREIGN") else {
        eprintln!(
            "skipped: files of others (GRANARY_TEST_FOREIGN is not set; `make test` sets it)"
        );
        return;
    };
    let node = TestNode::start().await;
    apply(&node).await;
    let dataset = node.dataset("foreign").await;
    for (kind, wrong) in [
        ("photographs", &PHOTOGRAPHS[..]),
        ("recordings", &[]),
        ("images", &PICTURES),
    ] {
        let sent = files(&Path::new(&folder).join(kind));
        let borrowed = sent
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.clone()))
            .collect();
        let session = node
            .session(&dataset, kind, Session::default(), borrowed)
            .await;
        let done = node.processed(&session).await;
        let found = assets(&node, &session).await;
        assert_eq!(found.len(), sent.len());
        let rejected: BTreeSet<_> = found
            .iter()
            .filter(|asset| asset.state() == AssetState::Rejected)
            .map(|asset| asset.path.as_str())
            .collect();
        let why: Vec<_> = found
            .iter()
            .filter(|asset| !asset.errors.is_empty())
            .map(|asset| (&asset.path, &asset.errors))
            .collect();
        assert_eq!(rejected, wrong.iter().copied().collect(), "{kind}: {why:?}");
        let state = if wrong.is_empty() {
            SessionState::Processed
        } else {
            SessionState::Failed
        };
        assert_eq!(done.state(), state, "{kind}");
        for asset in found
            .iter()
            .filter(|asset| kind != "recordings" && asset.state() == AssetState::Ready)
        {
            assert!(
                asset.media_type.starts_with("image/"),
                "{}: {}",
                asset.path,
                asset.media_type
            );
        }
    }
}
