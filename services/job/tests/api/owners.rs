use std::time::Duration;

use futures::{StreamExt as _, stream};
use granary_core::Error;
use granary_proto::job::v1::{
    AcquireJobsRequest, BatchFinishJobsRequest, BatchReportJobsRequest, JobState,
    ListWorkersRequest,
};
use granary_runtime::rpc::from_status;

use crate::world::{World, name, on_both, registration, report, success};

const HOUR: Duration = Duration::from_secs(3600);
const MOST: usize = 1000;

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

    async fn a_name_is_free_again_after_an_hour_of_silence(world: World) {
        world.catalog().await;
        world.register("w").await;
        world.pass(HOUR).await;
        denied(world.strangers().register_worker(registration("w")).await);
        world.pass(Duration::from_secs(1)).await;
        world.strangers().register_worker(registration("w")).await.unwrap();
        denied(world.workers().register_worker(registration("w")).await);
        denied(world.workers().batch_report_jobs(BatchReportJobsRequest { name: "workers/w".into(), reports: vec![] }).await);
    }

    async fn a_silent_worker_keeps_its_name_while_it_holds_a_job(world: World) {
        world.catalog().await;
        world.register("w").await;
        world.running("mine", "w").await;
        // Nobody has taken the job back yet.
        world.clock.advance((HOUR * 2).try_into().unwrap());
        denied(world.strangers().register_worker(registration("w")).await);
        world.jobs.tick().await.unwrap();
        world.strangers().register_worker(registration("w")).await.unwrap();
    }

    async fn a_subject_has_a_thousand_workers_at_most(world: World) {
        let register = async |i| world.workers().register_worker(registration(&format!("w-{i}"))).await;
        let answers: Vec<_> = stream::iter(0..MOST + 10).map(register).buffer_unordered(32).collect().await;
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).map(from_status).collect();
        assert_eq!(refused.len(), 10);
        for error in &refused {
            assert!(matches!(error, Error::Exhausted { reason, .. } if reason.contains("1000 workers")), "{error:?}");
        }
        world.strangers().register_worker(registration("theirs")).await.unwrap();
        let mut people = world.people_of_workers();
        let all = ListWorkersRequest { page_size: 1000, ..Default::default() };
        let listed = people.list_workers(all.clone()).await.unwrap().into_inner().workers;
        let again = listed.iter().find(|worker| worker.name != "workers/theirs").unwrap().name.clone();
        world.register(again.trim_start_matches("workers/")).await;
        world.pass(HOUR + Duration::from_secs(1)).await;
        world.register("new").await;
        let left = people.list_workers(all).await.unwrap().into_inner().workers;
        assert_eq!(left.iter().map(|worker| worker.name.as_str()).collect::<Vec<_>>(), ["workers/new"]);
    }
}
