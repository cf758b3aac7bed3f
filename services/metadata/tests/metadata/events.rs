//! The event stream.

use std::time::Duration;

use futures::future::join_all;
use granary_proto::metadata::v1::{
    Event, WatchEventsRequest, WatchEventsResponse, event_service_client::EventServiceClient,
};
use granary_runtime::auth::Role;
use tokio::time::timeout;
use tonic::{Code, Streaming};

use crate::world::{World, attributes, blamed, refused, session_name};

const PATIENCE: Duration = Duration::from_secs(20);

fn from(token: &str) -> WatchEventsRequest {
    WatchEventsRequest {
        parent: "projects/default".into(),
        resume_token: token.into(),
        ..Default::default()
    }
}

async fn watch(world: &World, request: WatchEventsRequest) -> Streaming<WatchEventsResponse> {
    world
        .events()
        .watch_events(request)
        .await
        .unwrap()
        .into_inner()
}

async fn next(stream: &mut Streaming<WatchEventsResponse>) -> WatchEventsResponse {
    timeout(PATIENCE, stream.message())
        .await
        .expect("an event in time")
        .unwrap()
        .expect("the stream goes on")
}

/// The next events, at least so many.
async fn take(stream: &mut Streaming<WatchEventsResponse>, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(next(stream).await.events);
    }
    events
}

fn types(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.r#type.as_str()).collect()
}

#[tokio::test]
async fn servers_of_one_database_tell_one_stream() {
    let Some([one, other]) = World::two().await else {
        return;
    };
    let mut stream = watch(&one, from("")).await;
    next(&mut stream).await;
    one.dataset("default", "raw").await;
    let told = next(&mut stream).await;
    assert_eq!(types(&told.events), ["dataset.created"]);
    // The other one has not looked for new events yet.
    let mut stream = watch(&other, from(&told.resume_token)).await;
    let first = next(&mut stream).await;
    assert_eq!(
        (first.events.len(), first.resume_token),
        (0, told.resume_token)
    );
}

#[tokio::test]
async fn the_first_response_comes_at_once_and_then_each_change_in_order() {
    for world in World::each().await {
        let mut stream = watch(&world, from("")).await;
        let first = next(&mut stream).await;
        assert!(first.events.is_empty() && !first.resume_token.is_empty());
        let (session, _) = world.ready("s1", attributes([]), &["a"]).await;
        world.complete(&session).await.unwrap();
        world
            .finish(granary_proto::metadata::v1::FinishSessionRequest {
                name: session.clone(),
                ..Default::default()
            })
            .await
            .unwrap();
        let events = take(&mut stream, 3).await;
        assert_eq!(
            types(&events),
            ["session.created", "session.completed", "session.processed"]
        );
        assert!(
            events
                .iter()
                .all(|event| event.resource == session && event.create_time.is_some())
        );
    }
}

#[tokio::test]
async fn a_stream_resumes_after_its_token_even_after_a_restart() {
    for world in World::each().await {
        let mut stream = watch(&world, from("0")).await;
        assert_eq!(
            types(&take(&mut stream, 2).await),
            ["project.created", "dataset.created"]
        );
        for id in ["s1", "s2", "s3"] {
            world.session(id, attributes([])).await;
        }
        let events = take(&mut stream, 3).await;
        drop(stream);
        let world = world.restart().await;
        let mut stream = watch(&world, from(&events[0].resume_token)).await;
        let rest = next(&mut stream).await;
        assert_eq!(rest.events, events[1..]);
        assert_eq!(rest.resume_token, events[2].resume_token);
    }
}

#[tokio::test]
async fn many_writers_make_one_order_without_gaps_for_who_watches() {
    for world in World::each().await {
        let mut stream = watch(&world, from("")).await;
        next(&mut stream).await;
        let ids: Vec<_> = (0..300).map(|i| format!("s{i}")).collect();
        let writers = join_all(ids.iter().map(|id| async {
            world.session(id, attributes([])).await;
            world.complete(&session_name(id)).await.unwrap();
        }));
        let (events, _) = tokio::join!(take(&mut stream, 600), writers);
        let mut again = watch(&world, from("0")).await;
        let all = take(&mut again, 602).await;
        assert_eq!(
            events,
            all[2..],
            "what was seen as it happened is what is there"
        );
        for id in &ids {
            let name = session_name(id);
            let of: Vec<_> = events
                .iter()
                .filter(|event| event.resource == name)
                .cloned()
                .collect();
            assert_eq!(types(&of), ["session.created", "session.completed"]);
        }
    }
}

#[tokio::test]
async fn a_watcher_sees_only_what_it_asked_for() {
    for world in World::each().await {
        world.project("other").await;
        world.dataset("other", "raw").await;
        world.session("s1", attributes([])).await;
        world.session("s10", attributes([])).await;
        world.complete(&session_name("s1")).await.unwrap();
        let only = |types: &[&str], resource: &str| WatchEventsRequest {
            types: types.iter().map(|t| (*t).into()).collect(),
            resource: resource.into(),
            ..from("0")
        };
        let completed = next(&mut watch(&world, only(&["session.completed"], "")).await).await;
        assert_eq!(types(&completed.events), ["session.completed"]);
        let one = next(&mut watch(&world, only(&[], &session_name("s1"))).await).await;
        assert_eq!(
            types(&one.events),
            ["session.created", "session.completed"],
            "s10 is another one"
        );
        let below =
            next(&mut watch(&world, only(&[], "projects/default/datasets/raw")).await).await;
        assert_eq!(below.events.len(), 4);
        let foreign = WatchEventsRequest {
            parent: "projects/other".into(),
            ..from("0")
        };
        let foreign = next(&mut watch(&world, foreign).await).await;
        assert!(
            foreign
                .events
                .iter()
                .all(|event| event.resource.starts_with("projects/other"))
        );
        assert_eq!(
            types(&foreign.events),
            ["project.created", "member.added", "dataset.created"]
        );
        let all = WatchEventsRequest {
            parent: "projects/-".into(),
            ..from("0")
        };
        assert_eq!(next(&mut watch(&world, all).await).await.events.len(), 8);
    }
}

#[tokio::test]
async fn a_slow_watcher_misses_nothing_and_gets_batches_of_five_hundred() {
    for world in World::each().await {
        let mut stream = watch(&world, from("")).await;
        let ids: Vec<_> = (0..1100).map(|i| format!("s{i}")).collect();
        join_all(ids.iter().map(|id| world.session(id, attributes([])))).await;
        let mut resources = Vec::new();
        while resources.len() < 1100 {
            let batch = next(&mut stream).await.events;
            assert!(batch.len() <= 500);
            resources.extend(batch.into_iter().map(|event| event.resource));
        }
        resources.sort();
        resources.dedup();
        assert_eq!(resources.len(), 1100);
    }
}

#[tokio::test]
async fn foreign_tokens_are_refused() {
    for world in World::each().await {
        let own = next(&mut watch(&world, from("")).await).await.resume_token;
        let (stream, _) = own.split_once('.').unwrap();
        for token in [
            "1",
            "nonsense",
            "-1",
            "00",
            &format!("{stream}.999999"),
            &format!("{stream}.-1"),
            &format!("x{own}"),
            &format!("{stream}."),
        ] {
            assert_eq!(
                blamed(world.events().watch_events(from(token)).await),
                "resume_token",
                "{token}"
            );
        }
        let nowhere = WatchEventsRequest {
            parent: "projects/nowhere".into(),
            ..Default::default()
        };
        refused(world.events().watch_events(nowhere).await, Code::NotFound);
        let mut worker = EventServiceClient::new(world.link("w", Role::Worker));
        let all = WatchEventsRequest {
            parent: "projects/-".into(),
            ..Default::default()
        };
        refused(worker.watch_events(all).await, Code::PermissionDenied);
    }
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    for world in World::each().await {
        let mut stream = watch(&world, from("")).await;
        next(&mut stream).await;
        let (end, _) = tokio::join!(timeout(PATIENCE, stream.message()), world.restart());
        assert!(end.expect("it ends in time").unwrap().is_none());
    }
}
