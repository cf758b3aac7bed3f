//! Every way in which an attempt can end is told as what it is.

use std::time::Duration;

use granary_kubernetes::Settings;
use granary_proto::job::v1::{Attempt, Entrypoint, FailureClass, JobState};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::{
    Api,
    api::{DeleteParams, EvictParams, ListParams, PostParams},
};
use serde_json::json;

use crate::world::{World, nowhere};

fn handler(entrypoint: &mut Entrypoint) -> &mut granary_proto::job::v1::HandlerSpec {
    entrypoint.handler.as_mut().unwrap()
}

async fn first(world: &World, command: &[&str], change: impl FnOnce(&mut Entrypoint)) -> Attempt {
    let job = world.submit("j", command, change).await;
    let tried = world.until(&job.name, |job| {
        let first = job.attempts.first();
        first.is_some_and(|attempt| attempt.finish_time.is_some())
    });
    tried.await.attempts.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_memory_is_told_with_the_limit() {
    let Some(world) = World::start().await else {
        return;
    };
    let hungry = "x = bytearray()\nwhile True: x.extend(bytes(16 << 20))";
    let tried = first(&world, &["python3", "-c", hungry], |_| {}).await;
    assert_eq!(tried.failure(), FailureClass::OutOfMemory, "{tried:?}");
    assert!(tried.message.contains("128MiB"), "{}", tried.message);
    assert!(tried.message.contains("OOMKilled"), "{}", tried.message);
    assert!(tried.peak_memory_bytes >= 128 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_not_there_is_the_jobs_fault() {
    let Some(world) = World::with(|settings| {
        settings.image_pull_policy = Some("Never".into());
    })
    .await
    else {
        return;
    };
    let job = world
        .submit("j", &["true"], |e| {
            handler(e).image_url = "no-such-image:9".into()
        })
        .await;
    let ended = world.ended(&job.name).await;
    assert_eq!(ended.state(), JobState::Failed);
    let tried = &ended.attempts[0];
    assert_eq!(tried.failure(), FailureClass::Application, "{tried:?}");
    assert!(
        tried.message.contains("no-such-image:9"),
        "{}",
        tried.message
    );
    world.nothing_launched().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_image_can_have_is_told_at_once() {
    let Some(world) = World::start().await else {
        return;
    };
    let tried = first(&world, &["true"], |e| {
        handler(e).image_url = "No Such:Image".into()
    })
    .await;
    assert_eq!(tried.failure(), FailureClass::Application, "{tried:?}");
    assert!(tried.message.contains("image"), "{}", tried.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_away_is_no_fault_of_the_job() {
    let Some(world) =
        World::with(|settings| settings.image_patience = Duration::from_secs(5)).await
    else {
        return;
    };
    let away = |e: &mut Entrypoint| handler(e).image_url = "127.0.0.1:1/away:1".into();
    let tried = first(&world, &["true"], away).await;
    assert_eq!(tried.failure(), FailureClass::Infrastructure, "{tried:?}");
    assert!(tried.message.contains("does not come"), "{}", tried.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_node_fits_the_job_is_handed_back() {
    let Some(world) = World::with(|settings| {
        settings.schedule_patience = Duration::from_secs(3);
        settings.profiles.insert("nowhere".into(), nowhere());
    })
    .await
    else {
        return;
    };
    let tried = first(&world, &["true"], |e| handler(e).profile = "nowhere".into()).await;
    assert_eq!(tried.failure(), FailureClass::Infrastructure, "{tried:?}");
    assert!(
        tried.message.contains("no node took it"),
        "{}",
        tried.message
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_is_not_there_is_the_jobs_fault() {
    let Some(world) = World::start().await else {
        return;
    };
    let tried = first(&world, &["true"], |e| handler(e).profile = "tpu".into()).await;
    assert_eq!(tried.failure(), FailureClass::Application, "{tried:?}");
    assert!(
        tried.message.contains("no profile \"tpu\""),
        "{}",
        tried.message
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_quota_hands_the_job_back() {
    let wait = |settings: &mut Settings| settings.schedule_patience = Duration::from_secs(3);
    let Some(world) = World::with(wait).await else {
        return;
    };
    let quotas: Api<ResourceQuota> = Api::namespaced(world.client(), &world.namespace);
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}});
    let quota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let tried = first(&world, &["true"], |_| {}).await;
    assert_eq!(tried.failure(), FailureClass::Infrastructure, "{tried:?}");
    assert!(
        tried.message.contains("exceeded quota"),
        "{}",
        tried.message
    );
    quotas
        .delete("none", &DeleteParams::default())
        .await
        .unwrap();
    let ended = world.ended("projects/default/jobs/j").await;
    assert_eq!(ended.state(), JobState::Succeeded, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_has_no_room_in_the_quota_waits_for_it() {
    let wait = |settings: &mut Settings| settings.schedule_patience = Duration::from_secs(120);
    let Some(world) = World::with(wait).await else {
        return;
    };
    let quotas: Api<ResourceQuota> = Api::namespaced(world.client(), &world.namespace);
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    let quota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let job = world.submit("j", &["true"], |_| {}).await;
    world.refused().await;
    quotas
        .delete("none", &DeleteParams::default())
        .await
        .unwrap();
    let ended = world.ended(&job.name).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{ended:?}");
    assert_eq!(ended.attempts.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_somebody_deletes_is_made_again() {
    let Some(world) = World::start().await else {
        return;
    };
    let job = world.submit("j", &["sh", "-c", "sleep 8"], |_| {}).await;
    world.running_job(&job.name).await;
    let pods = world.pods();
    let name = pods.list(&ListParams::default()).await.unwrap().items[0]
        .metadata
        .name
        .clone()
        .unwrap();
    pods.delete(&name, &DeleteParams::default()).await.unwrap();
    let ended = world.ended(&job.name).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{ended:?}");
    assert_eq!(ended.attempts.len(), 2);
    let first = &ended.attempts[0];
    assert_eq!(first.failure(), FailureClass::Infrastructure);
    assert!(first.message.contains("its pod was ended"), "{first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_drained_is_no_fault_of_the_job() {
    let Some(world) = World::start().await else {
        return;
    };
    let job = world.submit("j", &["sh", "-c", "sleep 8"], |_| {}).await;
    world.running_job(&job.name).await;
    let pods = world.pods();
    let all = pods.list(&ListParams::default()).await.unwrap();
    let name = all.items[0].metadata.name.clone().unwrap();
    pods.evict(&name, &EvictParams::default()).await.unwrap();
    let ended = world.ended(&job.name).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{ended:?}");
    let first = &ended.attempts[0];
    assert_eq!(first.failure(), FailureClass::Infrastructure);
    assert!(first.message.contains("its node is drained"), "{first:?}");
}
