//! What a job is and has in the cluster.

use granary_proto::job::v1::{FailureClass, Input, Job, JobState};

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_in_its_image_and_its_outputs_arrive() {
    let Some(world) = World::start().await else {
        return;
    };
    let script = "echo hello; cat data/*/*; mkdir -p output/a; printf made > output/a/b.txt";
    let job = world.submit("first", &["sh", "-c", script], |_| {}).await;
    let ended = world.ended(&job.name).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{ended:?}");
    assert_eq!(ended.attempts[0].worker, "workers/kubernetes");
    let made = world.contents(&ended.outputs["output"]).await;
    assert_eq!(made["a/b.txt"], b"made");
    let log = world.contents(&ended.outputs["log"]).await;
    assert!(log["stdout.log"].starts_with(b"hello\n"), "{log:?}");
    assert!(world.log(&job.name).await.starts_with("hello\n"));

    // What one job made is what the next one works on.
    let entrypoint = world
        .entrypoint("second", &["sh", "-c", "cat data/*/a/b.txt"], |_| {})
        .await;
    let input = Input {
        mapping: "data_ids".into(),
        references: vec![ended.outputs["output"].clone()],
        ..Input::default()
    };
    let next = Job {
        entrypoint,
        inputs: vec![input],
        ..Job::default()
    };
    let next = world.create("second", next).await;
    let ended = world.ended(&next.name).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{ended:?}");
    assert_eq!(world.log(&next.name).await, "made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_finds_no_token_and_no_way_to_one() {
    let Some(world) = World::start().await else {
        return;
    };
    let look = "mkdir -p output; \
                { ls /etc/granary /var/run/secrets; id -u; env; touch /granary/x /x; } > output/look 2>&1; \
                ln -s /etc/granary/attempt/token output/token; \
                rm -f /run/granary/output; ln -s /etc/granary/attempt/token /run/granary/output";
    let job = world.submit("look", &["sh", "-c", look], |_| {}).await;
    let ended = world.ended(&job.name).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{ended:?}");
    let made = world.contents(&ended.outputs["output"]).await;
    assert_eq!(made.keys().collect::<Vec<_>>(), ["look"]);
    let seen = String::from_utf8_lossy(&made["look"]);
    assert!(seen.contains("65532\n") && seen.contains("Read-only file system"));
    for part in ["KUBERNETES", "eyJ", "order.json"] {
        assert!(!seen.contains(part), "{part}: {seen}");
    }
    let log = world.log(&job.name).await;
    assert!(
        log.contains("not collected: \"token\"") && !log.contains("eyJ"),
        "{log}"
    );
    let kept = ended.outputs.get("log");
    assert!(kept.is_none(), "what is in the place of the log is not it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_ends_soon_and_leaves_its_log() {
    let Some(world) = World::start().await else {
        return;
    };
    let script = "echo begun; sleep 600";
    let job = world.submit("long", &["sh", "-c", script], |_| {}).await;
    world.running_job(&job.name).await;
    world.cancel(&job.name).await;
    let ended = world.ended(&job.name).await;
    assert_eq!(ended.state(), JobState::Cancelled, "{ended:?}");
    assert_eq!(ended.attempts[0].failure(), FailureClass::Cancelled);
    let log = world.contents(&ended.outputs["log"]).await;
    assert_eq!(log["stdout.log"], b"begun\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_jobs_with_an_image_are_taken() {
    let Some(world) = World::start().await else {
        return;
    };
    let none = |entrypoint: &mut granary_proto::job::v1::Entrypoint| {
        entrypoint.handler.as_mut().unwrap().image_url.clear();
    };
    let waits = world.submit("waits", &["true"], none).await;
    let runs = world.submit("runs", &["true"], |_| {}).await;
    world.ended(&runs.name).await;
    let waiting = world.until(&waits.name, |_| true).await;
    assert_eq!(waiting.state(), JobState::Queued);
}
