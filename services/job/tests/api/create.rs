use std::collections::BTreeMap;

use granary_core::Error;
use granary_proto::{
    job::v1::{CreateJobRequest, Input, Job, JobFinish, JobState, ListJobsRequest, Resources},
    metadata::v1::{AssetState, SessionState},
};

use crate::world::{PARENT, World, entrypoint, number, on_both, request, success};

fn with_input(references: &[&str]) -> CreateJobRequest {
    let references = references.iter().map(ToString::to_string).collect();
    request(Job {
        inputs: vec![Input {
            mapping: "data_ids".into(),
            references,
            pinned: vec!["made up".into()],
        }],
        ..Job::default()
    })
}

on_both! {
    async fn a_job_has_everything_filled_in(world: World) {
        world.catalog().await;
        let asked = Job {
            env: BTreeMap::from([("SEED".into(), "7".into())]),
            priority: 2,
            resources: Some(Resources { cpus: 2.0, ..Resources::default() }),
            ..Job::default()
        };
        let job = world.create(CreateJobRequest { job_id: "first".into(), ..request(asked) }).await.unwrap();
        assert_eq!(job.name, "projects/default/jobs/first");
        assert_eq!((job.state(), job.author.as_str(), job.priority), (JobState::Queued, "user:ada", 2));
        assert_eq!(job.parameters, BTreeMap::from([("rate".into(), number(1.0))]));
        let resources = job.resources.unwrap();
        assert_eq!((resources.memory_bytes, resources.cpus), (1 << 30, 2.0));
        assert_eq!(world.get(&job.name).await, job, "what is stored is what was answered");
    }

    async fn wrong_requests_are_told_what_is_wrong(world: World) {
        world.catalog().await;
        let text = convert_text("fast");
        let wrong = request(Job { parameters: BTreeMap::from([("rate".into(), text)]), ..Job::default() });
        assert_eq!(world.create(wrong).await.unwrap_err().to_string(), "parameters.rate: expected a number, got text \"fast\"");
        let mut forgotten = request(Job::default());
        forgotten.job.as_mut().unwrap().inputs.clear();
        assert!(world.create(forgotten).await.unwrap_err().to_string().starts_with("inputs: input \"data_ids\" is missing"));
        let unknown = request(Job { entrypoint: "applications/summary/versions/v1/entrypoints/trian".into(), ..Job::default() });
        assert!(matches!(world.create(unknown).await.unwrap_err(), Error::NotFound { .. }));
        let elsewhere = CreateJobRequest { parent: "projects/other".into(), ..request(Job::default()) };
        assert_eq!(world.create(elsewhere).await.unwrap_err().to_string(), "projects/other not found");
        let id = CreateJobRequest { job_id: "First".into(), ..request(Job::default()) };
        assert!(world.create(id).await.unwrap_err().to_string().starts_with("job_id: expected 1 to 63 of a-z"));
        let uuid = CreateJobRequest { request_id: "x".into(), ..request(Job::default()) };
        assert_eq!(world.create(uuid).await.unwrap_err().to_string(), "request_id: expected a UUID, got \"x\"");
    }

    async fn a_repeated_request_makes_one_job(world: World) {
        world.catalog().await;
        let id = uuid::Uuid::new_v4().to_string();
        let with_id = CreateJobRequest { request_id: id.clone(), ..request(Job::default()) };
        let calls = futures::future::join_all((0..20).map(|_| world.create(with_id.clone()))).await;
        let names: std::collections::BTreeSet<_> = calls.into_iter().map(|job| job.unwrap().name).collect();
        assert_eq!(names.len(), 1);
        let named = CreateJobRequest { job_id: "named".into(), ..request(Job::default()) };
        world.create(named.clone()).await.unwrap();
        assert!(matches!(world.create(named).await.unwrap_err(), Error::AlreadyExists { .. }));
    }

    async fn a_repeated_request_with_inputs_meets_the_job_that_was_made_meanwhile(world: World) {
        world.catalog().await;
        let session = "projects/default/datasets/raw/sessions/s";
        world.metadata.sessions.lock().insert(session.into(), SessionState::Processed);
        let asked = CreateJobRequest { request_id: uuid::Uuid::new_v4().to_string(), ..with_input(&[session]) };
        // Both have found no job of this request before either goes on.
        let answers = world.metadata.hold("GetQuota");
        let calls = [Box::pin(world.create(asked.clone())), Box::pin(world.create(asked))];
        let first_goes_on = async {
            world.metadata.asked("GetQuota", 2).await;
            answers.add_permits(1);
            std::future::pending::<()>().await;
        };
        let (first, _, mut other) = tokio::select! {
            first = futures::future::select_all(calls) => first,
            () = first_goes_on => unreachable!("it only lets the other one go on"),
        };
        answers.add_permits(1);
        let second = other.pop().unwrap().await;
        assert_eq!(second.unwrap(), first.unwrap());
    }

    async fn of_many_with_one_name_one_is_made(world: World) {
        world.catalog().await;
        let named = |rate: f64| {
            let job = Job { parameters: BTreeMap::from([("rate".into(), number(rate))]), ..Job::default() };
            CreateJobRequest { job_id: "same".into(), ..request(job) }
        };
        let calls = futures::future::join_all((0..20).map(|i| world.create(named(i.into())))).await;
        let made: Vec<_> = calls.into_iter().filter_map(Result::ok).collect();
        assert_eq!(made.len(), 1);
        assert_eq!(world.get(&made[0].name).await.parameters, made[0].parameters, "who was told of success has the job");
    }

    async fn inputs_are_pinned_when_the_job_is_submitted(world: World) {
        world.catalog().await;
        let dataset = "projects/default/datasets/raw";
        let session = format!("{dataset}/sessions/20210229_161221");
        let asset = format!("{dataset}/assets/a1");
        world.metadata.sessions.lock().insert(session.clone(), SessionState::Processed);
        world.metadata.assets.lock().insert(asset.clone(), AssetState::Ready);
        let id = uuid::Uuid::new_v4().to_string();
        let asked = CreateJobRequest { request_id: id, ..with_input(&[dataset, &session, &asset, &session]) };
        let job = world.create(asked.clone()).await.unwrap();
        assert_eq!(job.inputs[0].pinned, [format!("{dataset}/snapshots/s0"), session, asset]);
        assert_eq!(world.create(asked).await.unwrap(), job);
        assert_eq!(world.metadata.frozen.lock().len(), 1, "a repeated request freezes nothing more");
    }

    async fn inputs_that_cannot_be_used_are_refused(world: World) {
        world.catalog().await;
        let session = "projects/default/datasets/raw/sessions/s";
        assert_eq!(world.create(with_input(&[session])).await.unwrap_err().to_string(), format!("{session} not found"));
        world.metadata.sessions.lock().insert(session.into(), SessionState::Open);
        let refusal = async || world.create(with_input(&[session])).await.unwrap_err().to_string();
        assert_eq!(refusal().await, format!("{session}: it is open: complete it, and wait until its pipelines have ended"));
        // What is only complete may still lose assets to its pipelines, and the next attempt would work on other files.
        world.metadata.sessions.lock().insert(session.into(), SessionState::Completed);
        let wait = "its pipelines have not ended: wait until they have, with `granary session wait raw/s`";
        assert_eq!(refusal().await, format!("{session}: {wait}"));
        let asset = "projects/default/datasets/raw/assets/a";
        for state in [AssetState::Uploaded, AssetState::Validating] {
            world.metadata.assets.lock().insert(asset.into(), state);
            assert_eq!(world.create(with_input(&[asset])).await.unwrap_err().to_string(), format!("{asset}: {wait}"));
        }
        for state in [AssetState::Pending, AssetState::Rejected] {
            world.metadata.assets.lock().insert(asset.into(), state);
            assert!(matches!(world.create(with_input(&[asset])).await.unwrap_err(), Error::Precondition { .. }));
        }
        let error = world.create(with_input(&["projects/other/jobs/j", "nonsense"])).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "inputs[0].references[0]: expected something of the project default, got \"projects/other/jobs/j\"; \
             inputs[0].references[1]: expected the name of a snapshot, session, asset, dataset or job, got \"nonsense\""
        );
    }

    async fn a_job_stands_for_its_artifacts(world: World) {
        world.catalog().await;
        world.register("w").await;
        let lease = world.running("maker", "w").await;
        let maker = "projects/default/jobs/maker";
        let early = world.create(with_input(&[maker])).await.unwrap_err();
        assert!(early.to_string().starts_with("projects/default/jobs/maker: it has not succeeded"), "{early}");
        let artifact = "projects/default/datasets/job-artifacts/sessions/maker-1".to_owned();
        let outputs = BTreeMap::from([("artifact".to_owned(), artifact.clone())]);
        world.finish("w", JobFinish { outputs, ..success(&lease) }).await.unwrap();
        world.metadata.sessions.lock().insert(artifact.clone(), SessionState::Completed);
        // The job has ended, but the pipelines have not yet: that is waited for.
        let pipelines = async {
            world.metadata.asked("GetSession", 1).await;
            world.metadata.sessions.lock().insert(artifact.clone(), SessionState::Failed);
        };
        let (job, ()) = futures::future::join(world.create(with_input(&[maker])), pipelines).await;
        assert_eq!(job.unwrap().inputs[0].pinned, [artifact]);
    }

    async fn a_job_keeps_the_entrypoint_that_it_was_submitted_with(world: World) {
        world.catalog().await;
        world.register("w").await;
        world.submit("old").await;
        let mut other = entrypoint();
        other.name = "applications/other/versions/v1/entrypoints/run".into();
        world.apply(vec![other]).await.unwrap();
        let world = world.restart().await;
        assert_eq!(world.get("projects/default/jobs/old").await.state(), JobState::Queued);
        let lease = world.acquire("w", 1).await.pop().unwrap();
        assert_eq!(lease.entrypoint.unwrap().app, entrypoint().app);
    }

    async fn jobs_are_listed_newest_first_in_pages(world: World) {
        world.catalog().await;
        world.register("w").await;
        for i in 0..5 {
            world.submit(&format!("j{i}")).await;
        }
        let list = |page_token: String, state: JobState| {
            let mut client = world.api();
            let request = ListJobsRequest { parent: PARENT.into(), page_size: 2, page_token, state: state.into() };
            async move { client.list_jobs(request).await.map(tonic::Response::into_inner) }
        };
        let (mut token, mut names, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let page = list(token, JobState::Unspecified).await.unwrap();
            names.extend(page.jobs.into_iter().map(|job| job.name.rsplit_once('/').unwrap().1.to_owned()));
            pages += 1;
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((names, pages), (vec!["j4".into(), "j3".into(), "j2".into(), "j1".into(), "j0".into()], 3));
        world.acquire("w", 1).await;
        let assigned = list(String::new(), JobState::Assigned).await.unwrap();
        assert_eq!(assigned.jobs.len(), 1);
        let other = list(String::new(), JobState::Queued).await.unwrap().next_page_token;
        assert!(list(other, JobState::Assigned).await.is_err(), "a token fits only its own question");
    }
}

fn convert_text(text: &str) -> granary_proto::metadata::v1::Value {
    granary_proto::convert::wire_value(text.into())
}
