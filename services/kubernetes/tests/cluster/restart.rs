//! The launcher goes and comes, and jobs go on.

use granary_proto::job::v1::JobState;
use kube::api::ListParams;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_outlive_the_launcher_and_are_taken_over() {
    let Some(mut world) = World::start().await else {
        return;
    };
    let wait = "echo begun; while [ ! -e /files/go ]; do sleep 0.2; n=$((n+1)); [ $n -lt 60 ] || break; done; echo done";
    let job = world.submit("long", &["sh", "-c", wait], |_| {}).await;
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
