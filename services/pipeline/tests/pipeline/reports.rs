//! Reports that are long, on sessions that have many assets.

use granary_proto::{
    metadata::v1::{AssetState, SessionState},
    pipeline::v1::StepOutcome,
};
use serde_json::json;

use crate::world::{World, errors, session};

#[tokio::test]
async fn a_long_report_on_a_session_is_short_on_each_of_its_many_assets() {
    let world = World::start().await;
    let service = world.pipeline().await;
    let required: Vec<String> = (0..100)
        .map(|at| format!("{at}{}", "x".repeat(180)))
        .collect();
    let definition = json!({
        "name": "described",
        "on": {"event": "session.completed", "dataset": "raw"},
        "steps": [{"name": "described", "check": "metadata-schema", "with": {"schema": {"required": required}}}],
    });
    service.apply(&definition.to_string()).await;
    // A page of them with the whole report on each would not fit into a message.
    let files = (0..520).map(|at| (format!("{at}.txt"), format!("{at}").into_bytes()));
    let name = world.send_to(session("s1"), files.collect()).await;

    let done = world.finished(&name).await;
    assert_eq!(done.state(), SessionState::Failed);
    let whole = errors(&done.errors);
    assert_eq!(whole.len(), 100);
    let assets = world.assets(&name).await;
    assert_eq!(assets.len(), 520);
    for asset in assets.values() {
        assert_eq!(asset.state(), AssetState::Rejected);
        let short = errors(&asset.errors);
        assert!(short.iter().map(String::len).sum::<usize>() < 4096);
        let (rest, first) = short.split_last().unwrap();
        assert_eq!(
            rest,
            "session: more is wrong with it: see the session's errors"
        );
        assert!(!first.is_empty() && first.iter().all(|line| whole.contains(line)));
    }
    let run = service.ended(&name).await;
    assert_eq!((run.done_count, run.rejected_count), (520, 520));
    for result in service.results(&run.name).await {
        assert_eq!(result.outcome(), StepOutcome::Failed);
        assert!(result.errors.len() < 20, "{}", result.errors.len());
    }
}
