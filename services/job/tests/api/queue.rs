use std::{collections::BTreeSet, time::Duration};

use granary_core::Error;
use granary_proto::job::v1::{
    BatchFinishJobsRequest, CreateJobRequest, Job, JobState, ListWorkersRequest, Resources,
};
use granary_runtime::rpc::from_status;

use crate::world::{World, name, on_both, plenty, request, success};

fn sized(id: &str, priority: i32, memory_bytes: i64, gpus: i32) -> CreateJobRequest {
    let resources = Some(Resources {
        memory_bytes,
        gpus,
        ..Resources::default()
    });
    CreateJobRequest {
        job_id: id.into(),
        ..request(Job {
            priority,
            resources,
            ..Job::default()
        })
    }
}

fn ids(leases: &[granary_proto::job::v1::Lease]) -> Vec<String> {
    leases
        .iter()
        .map(|lease| name(lease).rsplit_once('/').unwrap().1.to_owned())
        .collect()
}

on_both! {
    async fn two_hundred_claims_at_once_get_each_job_exactly_once(world: World) {
        world.catalog().await;
        for worker in ["a", "b", "c", "d"] {
            world.register(worker).await;
        }
        let created = futures::future::join_all((0..300).map(|i| world.create(sized(&format!("j{i}"), i % 6, 0, 0)))).await;
        assert!(created.iter().all(Result::is_ok));
        let claims = futures::future::join_all((0..200).map(|i| world.acquire(["a", "b", "c", "d"][i % 4], 2))).await;
        let all: Vec<String> = claims.iter().flat_map(|leases| ids(leases)).collect();
        assert_eq!(all.len(), 300);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 300, "a job was given twice");
        assert!(world.acquire("a", 1000).await.is_empty());
    }

    async fn priority_goes_first_and_then_age(world: World) {
        world.catalog().await;
        world.register("w").await;
        for (id, priority) in [("old", 0), ("urgent", 5), ("new", 0), ("soon", 3), ("urgent-too", 5)] {
            world.create(sized(id, priority, 0, 0)).await.unwrap();
        }
        assert_eq!(ids(&world.acquire("w", 10).await), ["urgent", "urgent-too", "soon", "old", "new"]);
    }

    async fn only_what_fits_is_given(world: World) {
        world.catalog().await;
        world.register("w").await;
        world.create(sized("large", 5, 8 << 30, 0)).await.unwrap();
        world.create(sized("gpu", 5, 1 << 30, 1)).await.unwrap();
        world.create(sized("small", 0, 1 << 30, 0)).await.unwrap();
        let free = Resources { memory_bytes: 2 << 30, cpus: 2.0, gpus: 0, timeout: None };
        assert_eq!(ids(&world.acquire_within("w", 10, free, Duration::ZERO).await), ["small"]);
        assert_eq!(ids(&world.acquire("w", 10).await), ["large", "gpu"]);
    }

    async fn who_waits_is_woken_by_a_new_job(world: World) {
        world.catalog().await;
        world.register("w").await;
        let waits = world.acquire_within("w", 1, plenty(), Duration::from_secs(60));
        let submits = async {
            tokio::task::yield_now().await;
            world.submit("late").await
        };
        let patience = tokio::time::timeout(Duration::from_secs(30), futures::future::join(waits, submits));
        let (leases, _) = patience.await.expect("the waiting call was not woken");
        assert_eq!(ids(&leases), ["late"]);
    }

    async fn only_registered_workers_get_jobs(world: World) {
        let request = granary_proto::job::v1::AcquireJobsRequest { name: "workers/stranger".into(), max_jobs: 1, ..Default::default() };
        let error = from_status(world.workers().acquire_jobs(request).await.unwrap_err());
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        world.register("b").await;
        world.register("a").await;
        let listed = world.people_of_workers().list_workers(ListWorkersRequest { page_size: 1, page_token: String::new() }).await;
        let listed = listed.unwrap().into_inner();
        assert_eq!((listed.workers[0].name.as_str(), listed.next_page_token.is_empty()), ("workers/a", false));
    }

    async fn a_batch_has_a_result_for_each(world: World) {
        world.catalog().await;
        world.register("w").await;
        for i in 0..3 {
            world.submit(&format!("j{i}")).await;
        }
        let leases = world.acquire("w", 3).await;
        let mut finishes: Vec<_> = leases.iter().map(success).collect();
        finishes[0].job = "nonsense".into();
        finishes[1].lease_number += 1;
        let request = BatchFinishJobsRequest { name: "workers/w".into(), finishes };
        let results = world.workers().batch_finish_jobs(request).await.unwrap().into_inner().results;
        assert!(results[0].error.as_ref().unwrap().message.starts_with("finishes[0].job: expected a name like"));
        assert!(results[1].error.as_ref().unwrap().message.contains("is lost"));
        assert_eq!((results[2].state(), results[2].error.is_none()), (JobState::Succeeded, true));
    }
}
