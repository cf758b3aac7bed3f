use granary_core::Error;
use granary_proto::job::v1::{CancelJobRequest, FailureClass, Job, JobState, WatchJobRequest};
use granary_runtime::rpc::from_status;

use crate::world::{LEASE, World, failure, name, on_both, report, success};

impl World {
    async fn cancel(&self, job: &str) -> Result<Job, Error> {
        self.api()
            .cancel_job(CancelJobRequest { name: job.into() })
            .await
            .map(tonic::Response::into_inner)
            .map_err(from_status)
    }
}

on_both! {
    async fn a_queued_job_is_cancelled_at_once(world: World) {
        world.catalog().await;
        world.register("w").await;
        let job = world.submit("j").await.name;
        for _ in 0..2 {
            let cancelled = world.cancel(&job).await.unwrap();
            assert_eq!((cancelled.state(), cancelled.finish_time.is_some()), (JobState::Cancelled, true));
        }
        assert!(world.acquire("w", 1).await.is_empty());
        assert!(matches!(world.cancel("projects/default/jobs/none").await, Err(Error::NotFound { .. })));
    }

    async fn a_running_job_is_told_at_its_next_report(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        assert!(!world.report("w", report(&lease)).await.unwrap().cancel);
        assert!(world.finish("w", failure(&lease, FailureClass::Cancelled)).await.is_err(), "nobody cancelled it yet");
        assert_eq!(world.cancel(&name(&lease)).await.unwrap().state(), JobState::Running);
        assert!(world.report("w", report(&lease)).await.unwrap().cancel);
        assert_eq!(world.finish("w", failure(&lease, FailureClass::Cancelled)).await.unwrap(), JobState::Cancelled);
        assert_eq!(world.cancel(&name(&lease)).await.unwrap().state(), JobState::Cancelled);
    }

    async fn a_cancelled_job_is_not_tried_again(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        world.cancel(&name(&lease)).await.unwrap();
        world.pass(LEASE * 2).await;
        assert_eq!(world.state(&name(&lease)).await, JobState::Cancelled);
    }

    async fn what_has_ended_cannot_be_cancelled(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        world.finish("w", success(&lease)).await.unwrap();
        let error = world.cancel(&name(&lease)).await.unwrap_err();
        assert_eq!(error.to_string(), "projects/default/jobs/j: it has already ended: it succeeded");
    }

    async fn a_watched_job_is_seen_to_its_end(world: World) {
        world.catalog().await;
        world.register("w").await;
        let job = world.submit("j").await.name;
        let mut changes = world.api().watch_job(WatchJobRequest { name: job.clone() }).await.unwrap().into_inner();
        assert_eq!(changes.message().await.unwrap().unwrap().state(), JobState::Queued);
        let lease = world.acquire("w", 1).await.pop().unwrap();
        assert_eq!(changes.message().await.unwrap().unwrap().state(), JobState::Assigned);
        world.finish("w", success(&lease)).await.unwrap();
        assert_eq!(changes.message().await.unwrap().unwrap().state(), JobState::Succeeded);
        assert!(changes.message().await.unwrap().is_none());
    }
}
