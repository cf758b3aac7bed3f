//! What becomes of sessions and their assets.

use granary_core::name::SessionName;
use granary_proto::{
    metadata::v1::{Asset, AssetState, SessionState, value::Kind},
    pipeline::v1::{RunState, StepOutcome},
};
use image::ImageFormat;

use crate::{
    files::{METADATA, TEXT, jpeg, picture},
    world::{Service, World, errors},
};

const RECORDINGS: &str = r#"
name: recordings
on: { event: session.completed, dataset: raw }
steps:
  - { name: listed, check: session-complete }
  - { name: described, check: metadata-schema, with: { schema: { type: object, required: [fatigue], properties: { fatigue: { maximum: 5 } } } } }
  - { name: typed, check: media-type }
  - { name: decodes, check: image-decodable, when: 'media_type = "image/*"', with: { mode: full } }
  - { name: sized, check: image-dimensions, when: 'media_type = "image/*"', with: { max_width: 1000, max_height: 1000 } }
  - { name: attributes, transform: metadata-attributes, needs: [described] }
  - { name: preview, transform: thumbnail, needs: [decodes], with: { max_edge: 64 }, into: processed }
  - { name: keep, transform: copy, needs: [listed], into: processed }
"#;

#[tokio::test]
async fn a_good_session_is_processed_and_its_results_lie_beside_each_other() {
    for world in World::each().await {
        let service = world.pipeline().await;
        service.apply(RECORDINGS).await;
        let eeg = vec![7; 3000];
        let name = world
            .send(
                "s1",
                vec![
                    ("metadata.txt", METADATA.into()),
                    ("eeg.bin", eeg),
                    ("camera.jpg", jpeg(400, 200, 1)),
                ],
            )
            .await;

        let session = world.finished(&name).await;
        assert_eq!(
            (session.state(), errors(&session.errors)),
            (SessionState::Processed, vec![])
        );
        assert_eq!(session.ready_count, 3);
        assert_eq!(session.attributes["fatigue"].kind, Some(Kind::Number(4.0)));

        let assets = world.assets(&name).await;
        assert!(
            assets
                .values()
                .all(|asset| asset.state() == AssetState::Ready),
            "{assets:?}"
        );
        assert_eq!(
            assets["camera.jpg"].attributes["width"].kind,
            Some(Kind::Number(400.0))
        );

        let output = SessionName {
            dataset: "processed".into(),
            ..name.clone()
        };
        let made = world.finished(&output).await;
        assert_eq!(made.state(), SessionState::Processed);
        assert_eq!(made.derived_from, [name.to_string()]);
        assert_eq!(
            made.attributes["subject"].kind,
            Some(Kind::Text("S-014".into()))
        );
        let results = world.assets(&output).await;
        assert_eq!(
            results.keys().collect::<Vec<_>>(),
            [
                "camera.jpg",
                "camera.jpg.preview.jpg",
                "eeg.bin",
                "metadata.txt"
            ]
        );
        assert_eq!(results["eeg.bin"].sha256, assets["eeg.bin"].sha256);
        // What was found out about the source is known of its copy.
        assert_eq!(
            results["camera.jpg"].attributes,
            assets["camera.jpg"].attributes
        );
        let preview = &results["camera.jpg.preview.jpg"];
        assert_eq!(preview.derived_from, [assets["camera.jpg"].name.clone()]);

        the_run_tells_the_same(&service, &name, preview).await;
    }
}

async fn the_run_tells_the_same(service: &Service, name: &SessionName, preview: &Asset) {
    let run = service.ended(name).await;
    assert_eq!(run.state(), RunState::Succeeded, "{run:?}");
    assert_eq!(
        (
            run.asset_count,
            run.done_count,
            run.rejected_count,
            run.cached_count
        ),
        (3, 3, 0, 0)
    );
    assert_eq!(preview.producer, run.name);
    let found = service.results(&run.name).await;
    assert_eq!(found.len(), 3 * 8);
    let of_preview = found
        .iter()
        .find(|result| result.step == "preview" && result.path == "camera.jpg")
        .unwrap();
    assert_eq!(
        (of_preview.outcome(), &of_preview.output),
        (StepOutcome::Passed, &preview.name)
    );
    let skipped = found
        .iter()
        .find(|result| result.step == "preview" && result.path == "eeg.bin")
        .unwrap();
    assert_eq!(skipped.outcome(), StepOutcome::Skipped);
}

#[tokio::test]
async fn what_is_wrong_adds_up_on_the_asset_and_good_assets_stay_good() {
    for world in World::each().await {
        let service = world.pipeline().await;
        service
            .apply(
                r#"
name: images
on: { event: session.completed, dataset: raw }
steps:
  - { name: typed, check: media-type }
  - { name: sized, check: image-dimensions, with: { max_width: 1000, max_height: 1000 } }
  - { name: keep, transform: copy, into: processed }
"#,
            )
            .await;
        service
            .apply(
                r#"
name: decoding
on: { event: session.completed, dataset: raw }
steps:
  - { name: decodes, check: image-decodable, with: { max_pixels: 1M } }
"#,
            )
            .await;
        let name = world
            .send(
                "s1",
                vec![
                    ("good.jpg", jpeg(100, 50, 1)),
                    ("huge.png", picture(1500, 1200, 1, ImageFormat::Png)),
                    ("text.jpg", TEXT.to_vec()),
                    ("wrong.jpg", picture(1500, 20, 2, ImageFormat::Png)),
                ],
            )
            .await;

        let session = world.finished(&name).await;
        assert_eq!(session.state(), SessionState::Failed);
        assert_eq!((session.ready_count, session.rejected_count), (1, 3));
        let assets = world.assets(&name).await;
        assert_eq!(assets["good.jpg"].state(), AssetState::Ready);
        assert_eq!(assets["text.jpg"].state(), AssetState::Rejected);
        assert_eq!(assets["text.jpg"].media_type, "text/plain");
        assert_eq!(
            errors(&assets["text.jpg"].errors),
            [
                "image: expected an image, content is text/plain",
                "media_type: declared image/jpeg, content is text/plain"
            ]
        );
        assert_eq!(
            errors(&assets["huge.png"].errors),
            [
                "dimensions: expected at most 1000 x 1000 pixels, got 1500 x 1200",
                "image: expected at most 1000000 pixels, got 1500 x 1200"
            ]
        );
        assert_eq!(
            errors(&assets["wrong.jpg"].errors),
            [
                "dimensions: expected at most 1000 x 1000 pixels, got 1500 x 20",
                "media_type: declared image/jpeg, content is image/png"
            ]
        );

        let output = SessionName {
            dataset: "processed".into(),
            ..name.clone()
        };
        world.finished(&output).await;
        assert_eq!(
            world.assets(&output).await.into_keys().collect::<Vec<_>>(),
            ["good.jpg"]
        );
        each_run_counts_its_own(&service, &name).await;
    }
}

async fn each_run_counts_its_own(service: &Service, name: &SessionName) {
    for run in service.runs_on(name).await {
        let run = service.end_of(&run.name).await;
        assert_eq!(run.state(), RunState::Failed);
        let rejected = if run.name.contains("images") { 3 } else { 2 };
        assert_eq!(
            (run.done_count, run.rejected_count),
            (4, rejected),
            "{}",
            run.name
        );
    }
}

#[tokio::test]
async fn a_listed_file_that_is_missing_is_said_on_every_asset_and_nothing_is_made() {
    let world = World::start().await;
    let service = world.pipeline().await;
    service.apply(RECORDINGS).await;
    let name = world
        .send(
            "s1",
            vec![
                ("metadata.txt", METADATA.into()),
                ("camera.jpg", jpeg(10, 10, 1)),
            ],
        )
        .await;

    let session = world.finished(&name).await;
    let missing = "session: listed file \"eeg.bin\" is missing";
    assert_eq!(
        (session.state(), errors(&session.errors)),
        (SessionState::Failed, vec![missing.to_owned()])
    );
    for asset in world.assets(&name).await.values() {
        assert_eq!(
            (asset.state(), errors(&asset.errors)),
            (AssetState::Rejected, vec![missing.to_owned()]),
            "{}",
            asset.path
        );
    }
    let run = service.ended(&name).await;
    let made: Vec<_> = service
        .results(&run.name)
        .await
        .into_iter()
        .filter(|result| !result.output.is_empty())
        .collect();
    assert_eq!(made, []);
}

#[tokio::test]
async fn a_session_that_no_pipeline_wants_is_processed_at_once() {
    for world in World::each().await {
        let service = world.pipeline().await;
        let name = world.send("s1", vec![("a.txt", b"a".to_vec())]).await;
        assert_eq!(world.finished(&name).await.state(), SessionState::Processed);
        assert_eq!(
            world.assets(&name).await["a.txt"].state(),
            AssetState::Ready
        );
        assert_eq!(service.runs_on(&name).await, []);
    }
}

#[tokio::test]
async fn a_pipeline_of_whole_sessions_judges_the_session_and_leaves_its_assets() {
    let world = World::start().await;
    let service = world.pipeline().await;
    service
        .apply("{ name: whole, on: { event: session.completed, dataset: raw }, for_each: session, steps: [ { name: listed, check: session-complete } ] }")
        .await;
    let name = world.send("s1", vec![("a.txt", b"a".to_vec())]).await;
    let session = world.finished(&name).await;
    assert_eq!(session.state(), SessionState::Failed);
    assert_eq!(
        world.assets(&name).await["a.txt"].state(),
        AssetState::Ready
    );
    let run = service.ended(&name).await;
    assert_eq!(
        (run.state(), run.done_count, run.rejected_count),
        (RunState::Failed, 1, 0)
    );
    let results = service.results(&run.name).await;
    assert_eq!(
        (
            results.len(),
            results[0].asset.as_str(),
            results[0].outcome()
        ),
        (1, "", StepOutcome::Failed)
    );
}

#[tokio::test]
async fn results_that_have_no_place_fail_the_run_and_not_the_assets() {
    let world = World::start().await;
    let service = world.pipeline().await;
    world.dataset("processed").await;
    let taken = SessionName {
        dataset: "processed".into(),
        ..crate::world::session("s1")
    };
    world
        .send_to(taken.clone(), vec![("own.txt".into(), b"own".to_vec())])
        .await;
    service
        .apply("{ name: keeping, on: { event: session.completed, dataset: raw }, steps: [ { name: keep, transform: copy, into: processed } ] }")
        .await;
    let name = world.send("s1", vec![("a.txt", b"a".to_vec())]).await;
    let session = world.finished(&name).await;
    assert_eq!(session.state(), SessionState::Failed);
    assert_eq!(
        world.assets(&name).await["a.txt"].state(),
        AssetState::Ready
    );
    let run = service.ended(&name).await;
    assert_eq!((run.state(), run.rejected_count), (RunState::Failed, 0));
    assert!(
        run.error.contains("belongs to somebody else"),
        "{}",
        run.error
    );
    assert_eq!(
        world.assets(&taken).await.into_keys().collect::<Vec<_>>(),
        ["own.txt"]
    );
}
