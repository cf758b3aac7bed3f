//! The launcher goes and comes, and jobs go on.

use std::time::Duration;

use granary_proto::job::v1::JobState;
use kube::{
    api::{ListParams, PostParams},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_outlive_the_launcher_and_are_taken_over() {
    let Some(mut world) = World::start().await else {
        return;
    };
    let script = "echo begun; sleep 12; echo done";
    let job = world.submit("long", &["sh", "-c", script], |_| {}).await;
    world.running_job(&job.name).await;
    world.stop().await;
    world.begin().await;
    let ended = world.ended(&job.name).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{ended:?}");
    assert_eq!(ended.attempts.len(), 1, "{ended:?}");
    assert_eq!(world.log(&job.name).await, "begun\ndone\n");
    let jobs = world.launched().list(&ListParams::default()).await.unwrap();
    assert_eq!(jobs.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_finished_when_the_launcher_stopped_is_cleared_away() {
    let Some(mut world) = World::start().await else {
        return;
    };
    world.stop().await;
    let container = json!({"name": "c", "image": "none"});
    let half = json!({
        "metadata": {"name": "half", "labels": {"granary.dev/worker": "kubernetes"}},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    });
    let half = serde_json::from_value(half).unwrap();
    let jobs = world.launched();
    let made = jobs.create(&PostParams::default(), &half).await.unwrap();
    world.begin().await;
    let deleted = is_deleted(made.metadata.uid.as_deref().unwrap());
    let gone = tokio::time::timeout(
        Duration::from_secs(60),
        await_condition(jobs, "half", deleted),
    );
    gone.await.expect("it is still there").unwrap();
}
