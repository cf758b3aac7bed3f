use std::time::Duration;

use granary_core::Error;
use granary_proto::job::v1::{
    AcquireJobsRequest, BatchFinishJobsRequest, BatchReportJobsRequest, JobState,
};
use granary_runtime::rpc::from_status;

use crate::world::{World, name, on_both, registration, report, success};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn denied<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) {
    let error = from_status(answer.unwrap_err());
    let reason = "workers/w was registered with a token of another subject";
    assert!(
        matches!(&error, Error::Denied { reason: said } if said.starts_with(reason)),
        "{error:?}"
    );
}

on_both! {
    async fn nobody_speaks_for_the_worker_of_another_subject(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("mine", "w").await;
        world.submit("next").await;
        let mut stranger = world.strangers();
        let (worker, reports, finishes) = ("workers/w".to_owned(), vec![report(&lease)], vec![success(&lease)]);
        denied(stranger.register_worker(registration("w")).await);
        denied(stranger.acquire_jobs(AcquireJobsRequest { name: worker.clone(), max_jobs: 1, ..Default::default() }).await);
        denied(stranger.batch_report_jobs(BatchReportJobsRequest { name: worker.clone(), reports }).await);
        denied(stranger.batch_finish_jobs(BatchFinishJobsRequest { name: worker, finishes }).await);
        assert_eq!(world.state(&name(&lease)).await, JobState::Running, "its job was not given back");
        assert_eq!(world.finish("w", success(&lease)).await.unwrap(), JobState::Succeeded);
    }

    async fn a_subject_keeps_its_workers_across_restarts(world: World) {
        world.register("w").await;
        world.register("w-2").await;
        let world = world.restart().await;
        denied(world.strangers().register_worker(registration("w")).await);
        world.register("w").await;
        assert!(world.acquire("w-2", 1).await.is_empty());
    }

    async fn a_name_is_free_again_after_a_day_of_silence(world: World) {
        world.catalog().await;
        world.register("w").await;
        world.pass(DAY).await;
        denied(world.strangers().register_worker(registration("w")).await);
        world.pass(Duration::from_secs(1)).await;
        world.strangers().register_worker(registration("w")).await.unwrap();
        denied(world.workers().register_worker(registration("w")).await);
        denied(world.workers().batch_report_jobs(BatchReportJobsRequest { name: "workers/w".into(), reports: vec![] }).await);
    }
}
