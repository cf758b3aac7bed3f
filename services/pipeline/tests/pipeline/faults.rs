//! Objects that are not what they should be, and a store that is away.

use granary_core::name::SessionName;
use granary_proto::{
    metadata::v1::{AssetState, SessionState},
    pipeline::v1::RunState,
};
use tokio_stream::StreamExt as _;
use tonic::Status;

use crate::{
    files::jpeg,
    world::{Act, Front, World, errors, session},
};

const TYPED: &str = "{ name: typing, on: { event: session.completed, dataset: raw }, steps: [ { name: typed, check: media-type } ] }";

#[tokio::test]
async fn an_object_that_is_missing_or_changed_is_a_verdict() {
    let world = World::start().await;
    let service = world.pipeline().await;
    service.apply(TYPED).await;
    let name = session("s1");
    let files = ["changed.jpg", "gone.jpg", "good.jpg", "short.jpg"];
    let files = files
        .iter()
        .zip(1..)
        .map(|(path, seed)| ((*path).to_owned(), jpeg(30, 30, seed)))
        .collect();
    world.fill(&name, files).await;
    let object = |path: &str| world.store.object(&name, path);
    std::fs::remove_file(object("gone.jpg")).unwrap();
    let mut bytes = std::fs::read(object("changed.jpg")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(object("changed.jpg"), &bytes).unwrap();
    std::fs::write(object("short.jpg"), b"short").unwrap();
    world.complete(&name).await;

    let done = world.finished(&name).await;
    assert_eq!((done.ready_count, done.rejected_count), (1, 3));
    let assets = world.assets(&name).await;
    assert_eq!(
        errors(&assets["gone.jpg"].errors),
        ["content: the object is missing in the store"]
    );
    assert!(errors(&assets["changed.jpg"].errors)[0].starts_with("content: expected the SHA-256 "));
    let expected = format!(
        "content: expected {} bytes, the object has 5",
        assets["short.jpg"].size_bytes
    );
    assert_eq!(errors(&assets["short.jpg"].errors), [expected]);
    assert_eq!(assets["good.jpg"].state(), AssetState::Ready);
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for() {
    let mut world = World::start().await;
    world.remote_objects = true;
    let service = world.pipeline().await;
    service.apply(TYPED).await;
    let name = session("s1");
    world
        .fill(&name, vec![("a.jpg".into(), jpeg(30, 30, 1))])
        .await;
    world.store.stop().await;
    world.complete(&name).await;

    let mut events = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(
        std::time::Duration::from_millis(20),
    ));
    let run = loop {
        events.next().await;
        if let [run] = service.runs_on(&name).await.as_slice()
            && run.state() == RunState::Running
        {
            break run.clone();
        }
    };
    assert_eq!(world.session(&name).await.state(), SessionState::Completed);
    world.store.start_again().await;
    assert_eq!(world.finished(&name).await.state(), SessionState::Processed);
    assert_eq!(service.end_of(&run.name).await.state(), RunState::Succeeded);
}

#[tokio::test]
async fn a_session_that_is_given_up_leaves_no_output_open() {
    let world = World::start().await;
    // The first verdicts, which come after the copies.
    let gone = Act::Refuse(Status::not_found("no such project"));
    let front = Front::new("BatchUpdateAssetStates", 1, gone);
    let service = world.pipeline_over(front.link(&world)).await;
    service
        .apply("{ name: keeping, on: { event: session.completed, dataset: raw }, steps: [ { name: keep, transform: copy, into: processed } ] }")
        .await;
    let name = world.send("s1", vec![("a.txt", b"a".to_vec())]).await;

    let done = world.finished(&name).await;
    assert_eq!(done.state(), SessionState::Failed);
    let reasons = errors(&world.assets(&name).await["a.txt"].errors);
    assert!(
        reasons[0].starts_with("pipeline: could not be run: "),
        "{reasons:?}"
    );
    assert_eq!(service.ended(&name).await.state(), RunState::Failed);
    let output = SessionName {
        dataset: "processed".into(),
        ..name
    };
    assert_eq!(
        world.finished(&output).await.state(),
        SessionState::Processed
    );
}
