use std::time::Duration;

use granary_core::Error;
use granary_proto::job::v1::{FailureClass, HeldLease, JobFinish, JobReport, JobState, Lease};

use crate::world::{LEASE, World, failure, name, on_both, registration, report, success};

on_both! {
    async fn an_expired_lease_returns_the_job_and_shuts_the_old_worker_out(world: World) {
        world.catalog().await;
        world.register("slow").await;
        let old = world.running("j", "slow").await;
        let job = name(&old);
        world.pass(LEASE / 2).await;
        assert_eq!(world.state(&job).await, JobState::Running);
        world.pass(LEASE).await;
        assert_eq!(world.state(&job).await, JobState::Queued);
        for result in [world.report("slow", report(&old)).await.map(drop), world.finish("slow", success(&old)).await.map(drop)] {
            assert!(matches!(result, Err(Error::Precondition { .. })), "{result:?}");
        }
        world.pass(LEASE).await;
        let new = world.acquire("slow", 1).await.pop().unwrap();
        assert!(new.lease_number > old.lease_number && new.attempt == 2);
        assert!(world.report("slow", report(&old)).await.is_err());
        assert_eq!(world.finish("slow", success(&new)).await.unwrap(), JobState::Succeeded);
        let attempts = world.get(&job).await.attempts;
        assert_eq!(attempts.iter().map(|a| a.failure()).collect::<Vec<_>>(), [FailureClass::LostLease, FailureClass::Unspecified]);
    }

    async fn a_restart_takes_back_only_what_the_worker_does_not_hold_any_more(world: World) {
        world.catalog().await;
        world.register("w").await;
        let (kept, old, lost) = (world.running("a", "w").await, world.running("b", "w").await, world.running("c", "w").await);
        let held = |lease: &Lease, number| HeldLease { job: name(lease), lease_number: number };
        let mut again = registration("w");
        // The lease before is no lease of its own.
        again.worker.as_mut().unwrap().held = vec![held(&kept, kept.lease_number), held(&old, old.lease_number - 1)];
        world.workers().register_worker(again).await.unwrap();
        assert_eq!(world.state(&name(&kept)).await, JobState::Running);
        for lost in [&old, &lost] {
            let job = world.get(&name(lost)).await;
            assert_eq!((job.state(), job.attempts[0].failure()), (JobState::Queued, FailureClass::LostLease));
        }
        world.report("w", report(&kept)).await.unwrap();
        assert_eq!(world.finish("w", success(&kept)).await.unwrap(), JobState::Succeeded);
    }

    async fn who_holds_more_than_can_be_is_refused(world: World) {
        let mut registration = registration("w");
        let lease = HeldLease { job: "projects/p/jobs/j".into(), lease_number: 1 };
        let worker = registration.worker.as_mut().unwrap();
        worker.held = vec![lease; 10_001];
        let error = world.workers().register_worker(registration.clone()).await.unwrap_err();
        assert!(error.message().contains("worker.held: expected at most 10000"), "{error}");
        registration.worker.as_mut().unwrap().held = vec![HeldLease { job: "j".into(), lease_number: 1 }];
        let error = world.workers().register_worker(registration).await.unwrap_err();
        assert!(error.message().contains("worker.held[0].job"), "{error}");
    }

    async fn reports_keep_a_lease(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        for _ in 0..5 {
            world.pass(LEASE / 2).await;
            world.report("w", report(&lease)).await.unwrap();
        }
        assert_eq!(world.state(&name(&lease)).await, JobState::Running);
    }

    async fn a_job_that_was_lost_goes_to_another_worker_first(world: World) {
        world.catalog().await;
        world.register("bad").await;
        world.running("j", "bad").await;
        world.pass(LEASE * 2).await;
        world.register("good").await;
        world.pass(LEASE / 3).await;
        assert!(world.acquire("bad", 1).await.is_empty());
        assert_eq!(world.acquire("good", 1).await.len(), 1);
    }

    async fn a_job_is_not_kept_for_ever_for_a_worker_that_does_not_take_it(world: World) {
        world.catalog().await;
        world.register("bad").await;
        world.running("j", "bad").await;
        world.pass(LEASE * 2).await;
        world.register("good").await;
        world.pass(LEASE + LEASE / 3).await;
        assert_eq!(world.acquire("bad", 1).await.len(), 1);
    }

    async fn three_faults_end_a_job(world: World) {
        world.catalog().await;
        world.register("w").await;
        world.submit("j").await;
        for expected in [JobState::Queued, JobState::Queued, JobState::Failed] {
            world.pass(LEASE).await;
            let lease = world.acquire("w", 1).await.pop().unwrap();
            let finish = JobFinish { message: "the store is away".into(), ..failure(&lease, FailureClass::Infrastructure) };
            assert_eq!(world.finish("w", finish).await.unwrap(), expected);
        }
        let job = world.get("projects/default/jobs/j").await;
        assert_eq!(job.attempts.len(), 3);
        assert_eq!(job.attempts[2].message, "the store is away");
        assert!(job.finish_time.is_some());
    }

    async fn what_comes_back_waits_a_moment(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        world.finish("w", failure(&lease, FailureClass::Infrastructure)).await.unwrap();
        assert!(world.acquire("w", 1).await.is_empty());
        world.pass(std::time::Duration::from_secs(2)).await;
        assert_eq!(world.acquire("w", 1).await.len(), 1);
    }

    async fn a_restarted_worker_gives_its_jobs_back_at_once_and_that_counts_as_no_fault(world: World) {
        world.catalog().await;
        world.register("w").await;
        let mut lease = world.running("j", "w").await;
        for _ in 0..10 {
            world.register("w").await;
            assert!(world.finish("w", success(&lease)).await.is_err());
            lease = world.acquire("w", 1).await.pop().unwrap();
        }
        assert_eq!(world.finish("w", success(&lease)).await.unwrap(), JobState::Succeeded);
        assert_eq!(world.get(&name(&lease)).await.attempts.len(), 11);
    }

    async fn a_worker_that_stops_hands_its_jobs_back(world: World) {
        world.catalog().await;
        world.register("w").await;
        for _ in 0..5 {
            if world.api().get_job(granary_proto::job::v1::GetJobRequest { name: "projects/default/jobs/j".into() }).await.is_err() {
                world.submit("j").await;
            }
            let lease = world.acquire("w", 1).await.pop().unwrap();
            let finish = JobFinish { handed_back: true, ..failure(&lease, FailureClass::Infrastructure) };
            assert_eq!(world.finish("w", finish).await.unwrap(), JobState::Queued);
        }
    }

    async fn a_repeated_end_changes_nothing(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        assert_eq!(world.finish("w", success(&lease)).await.unwrap(), JobState::Succeeded);
        let job = world.get(&name(&lease)).await;
        assert_eq!(world.finish("w", success(&lease)).await.unwrap(), JobState::Succeeded);
        assert_eq!(world.finish("w", failure(&lease, FailureClass::Application)).await.unwrap(), JobState::Succeeded);
        assert_eq!(world.get(&name(&lease)).await, job);
    }

    async fn the_programs_own_faults_are_final(world: World) {
        world.catalog().await;
        world.register("w").await;
        for (id, class) in [("a", FailureClass::Application), ("t", FailureClass::Timeout), ("m", FailureClass::OutOfMemory)] {
            let lease = world.running(id, "w").await;
            assert_eq!(world.finish("w", failure(&lease, class)).await.unwrap(), JobState::Failed);
        }
    }

    async fn a_job_begins_with_its_first_attempt(world: World) {
        world.catalog().await;
        world.register("w").await;
        for (id, state) in [("slow", JobState::Running), ("broken", JobState::Preparing)] {
            world.submit(id).await;
            let lease = world.acquire("w", 1).await.pop().unwrap();
            world.clock.advance(Duration::from_millis(400).try_into().unwrap());
            world.report("w", JobReport { state: state.into(), ..report(&lease) }).await.unwrap();
            assert_eq!(world.finish("w", failure(&lease, FailureClass::Timeout)).await.unwrap(), JobState::Failed);
            let job = world.get(&name(&lease)).await;
            assert!(job.start_time.is_some() && job.start_time != job.finish_time);
            assert_eq!((job.start_time, job.finish_time), (job.attempts[0].start_time, job.attempts[0].finish_time));
        }
    }

    async fn an_attempt_does_not_go_back(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        let back = JobReport { state: JobState::Preparing.into(), ..report(&lease) };
        assert!(matches!(world.report("w", back).await.unwrap_err(), Error::Invalid(_)));
        let job = world.get(&name(&lease)).await;
        assert_eq!((job.state(), job.start_time.is_some()), (JobState::Running, true));
    }

    async fn everything_is_there_after_a_restart_of_the_service(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("j", "w").await;
        let before = world.get(&name(&lease)).await;
        let world = world.restart().await;
        assert_eq!(world.get(&name(&lease)).await, before);
        world.report("w", report(&lease)).await.unwrap();
        assert_eq!(world.finish("w", success(&lease)).await.unwrap(), JobState::Succeeded);
    }
}
