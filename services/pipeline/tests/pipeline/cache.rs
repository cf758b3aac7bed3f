//! Nothing is worked out twice.

use granary_core::name::SessionName;
use granary_proto::metadata::v1::AssetState;

use crate::{
    files::jpeg,
    world::{World, errors},
};

fn images(max_width: u32) -> String {
    format!(
        r#"
name: images
on: {{ event: session.completed, dataset: raw }}
steps:
  - {{ name: typed, check: media-type }}
  - {{ name: sized, check: image-dimensions, with: {{ max_width: {max_width} }} }}
  - {{ name: preview, transform: thumbnail, with: {{ max_edge: 16 }}, into: processed }}
"#
    )
}

#[tokio::test]
async fn content_that_was_seen_before_is_not_read_again() {
    for world in World::each().await {
        let service = world.pipeline().await;
        service.apply(&images(1000)).await;
        let first = world.send("s1", vec![("a.jpg", jpeg(40, 20, 1))]).await;
        world.finished(&first).await;
        let run = service.ended(&first).await;
        assert_eq!((run.cached_count, run.worked_count), (0, 3));

        // Bytes that are gone cannot be read: the verdict can only come from the cache.
        let again = crate::world::session("s2");
        world
            .fill(&again, vec![("other.jpg".into(), jpeg(40, 20, 1))])
            .await;
        std::fs::remove_file(world.store.object(&again, "other.jpg")).unwrap();
        world.complete(&again).await;
        world.finished(&again).await;
        assert_eq!(
            world.assets(&again).await["other.jpg"].state(),
            AssetState::Ready
        );
        let run = service.ended(&again).await;
        assert_eq!((run.cached_count, run.worked_count), (3, 0));
        let thumbnail = |of: &SessionName| SessionName {
            dataset: "processed".into(),
            ..of.clone()
        };
        let one = world.assets(&thumbnail(&first)).await;
        let two = world.assets(&thumbnail(&again)).await;
        assert_eq!(
            one["a.jpg.preview.jpg"].sha256,
            two["other.jpg.preview.jpg"].sha256
        );
    }
}

#[tokio::test]
async fn a_step_that_changed_runs_and_the_others_do_not() {
    let world = World::start().await;
    let service = world.pipeline().await;
    service.apply(&images(1000)).await;
    let first = world.send("s1", vec![("a.jpg", jpeg(40, 20, 1))]).await;
    world.finished(&first).await;
    service.apply(&images(30)).await;
    let second = world.send("s2", vec![("a.jpg", jpeg(40, 20, 1))]).await;
    world.finished(&second).await;
    let run = service.ended(&second).await;
    assert_eq!((run.version, run.cached_count, run.worked_count), (2, 1, 1));
    assert_eq!(
        errors(&world.assets(&second).await["a.jpg"].errors),
        ["dimensions: expected at most 30 pixels of width, got 40 x 20"]
    );
}
