//! Engines that are killed at work.

use std::sync::Arc;

use granary_core::name::SessionName;
use granary_proto::{
    metadata::v1::{AssetState, SessionState},
    pipeline::v1::RunState,
};
use tokio::task::JoinHandle;

use crate::{
    files::{TEXT, jpeg},
    world::{Act, Front, World, session},
};

const IMAGES: &str = r#"
name: images
on: { event: session.completed, dataset: raw }
steps:
  - { name: typed, check: media-type }
  - { name: decodes, check: image-decodable, with: { mode: full } }
  - { name: preview, transform: thumbnail, with: { max_edge: 8 }, into: processed }
  - { name: keep, transform: copy, into: processed }
"#;

/// Runs an engine in a runtime of its own, and ends it without a word while it waits for the answer to a call.
fn killed_at(world: &Arc<World>, method: &'static str, nth: usize) -> JoinHandle<()> {
    let world = world.clone();
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let front = Front::new(method, nth, Act::LoseAnswer);
            let _service = world.pipeline_over(front.link(&world)).await;
            front.reached().await;
        });
        runtime.shutdown_background();
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_killed_anywhere_leaves_every_asset_with_one_right_verdict() {
    let world = Arc::new(World::start().await);
    let service = world.pipeline().await;
    service.apply(IMAGES).await;
    service.stop().await;
    // More than one page, so that some are done and some are not.
    let count: u32 = 620;
    let path = |at: u32| format!("{at:04}.jpg");
    let bytes = |at: u32| {
        if at % 10 == 3 {
            [TEXT, path(at).as_bytes()].concat()
        } else {
            jpeg(90, 60, at)
        }
    };
    let name = session("s1");
    world
        .fill(&name, (0..count).map(|at| (path(at), bytes(at))).collect())
        .await;
    world.complete(&name).await;
    for (method, nth) in [
        ("CreateSession", 1),
        ("BatchCopyAssets", 1),
        ("BatchCreateUploads", 1),
        ("BatchUpdateAssetStates", 1),
        // The first page is done by now.
        ("BatchCompleteUploads", 1),
        ("BatchUpdateAssetStates", 1),
        ("CompleteSession", 1),
        ("FinishSession", 1),
    ] {
        killed_at(&world, method, nth).await.unwrap();
    }

    let service = world.pipeline().await;
    let done = world.finished(&name).await;
    assert_eq!(done.state(), SessionState::Failed);
    let assets = world.assets(&name).await;
    for at in 0..count {
        let expected = if at % 10 == 3 {
            AssetState::Rejected
        } else {
            AssetState::Ready
        };
        assert_eq!(assets[&path(at)].state(), expected, "{}", path(at));
    }
    let rejected = i64::from(count / 10);
    assert_eq!(
        (done.ready_count, done.rejected_count),
        (i64::from(count) - rejected, rejected)
    );

    let run = service.ended(&name).await;
    assert_eq!(
        (run.state(), run.done_count, run.rejected_count),
        (RunState::Failed, i64::from(count), rejected)
    );
    assert_eq!(run.error, "");
    let output = SessionName {
        dataset: "processed".into(),
        ..name
    };
    let made = world.finished(&output).await;
    assert_eq!(made.state(), SessionState::Processed);
    assert_eq!(made.asset_count, 2 * (i64::from(count) - rejected));
}
