//! What a whole platform tells Prometheus. The recorder is one for a process: this is the only test in its program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

use std::time::Duration;

use granary_proto::{
    identity::v1::{
        GetPrincipalRequest, Quota, UpdateQuotaRequest, token_service_client::TokenServiceClient,
        usage_service_client::UsageServiceClient,
    },
    job::v1::{
        AppSpec, ApplyCatalogRequest, CreateJobRequest, Entrypoint, HandlerSpec, Job, JobState,
        Resources, WatchJobRequest, application_service_client::ApplicationServiceClient,
        job_service_client::JobServiceClient,
    },
    json,
    metadata::v1::{GetSessionRequest, Session, SessionState},
    pipeline::v1::{ApplyPipelineRequest, pipeline_service_client::PipelineServiceClient},
    storage::v1::{BatchCreateDownloadsRequest, download_service_client::DownloadServiceClient},
};
use granary_runtime::{Link, auth::TokenSource, metrics::names};
use granary_testkit::{TestNode, backends, pictures::jpeg};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};
use tonic::{Code, transport::Endpoint};

const ENTRYPOINT: &str = "applications/test/versions/v1/entrypoints/run";
const PATIENCE: Duration = Duration::from_secs(90);

/// What was told at one moment.
struct Told(String);

impl Told {
    async fn by(node: &TestNode) -> Self {
        let answer = reqwest::get(format!("{}/metrics", node.metrics_endpoint())).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        Self(answer.text().await.unwrap())
    }

    /// The sum of all with this name and these labels; 0 if there are none.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |line: &&str| {
            let rest = line.strip_prefix(name);
            let has = |(key, value): &(&str, &str)| line.contains(&format!("{key}=\"{value}\""));
            rest.is_some_and(|rest| rest.starts_with('{')) && labels.iter().all(has)
        };
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        self.0.lines().filter(has).filter_map(value).sum()
    }
}

/// Waits until something is told so: some things are counted just after their callers are answered.
async fn told(node: &TestNode, name: &str, expected: f64) -> Told {
    told_all(node, &[(name, &[], expected)]).await
}

/// What has a name, labels and a value.
type Expected<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Waits until all of it is told at once.
async fn told_all(node: &TestNode, expected: &[Expected<'_>]) -> Told {
    let is_told = |told: &Told| {
        let mut all = expected.iter();
        all.all(|(name, labels, value)| told.sum(name, labels) == *value)
    };
    let wait = async {
        let mut often = tokio::time::interval(Duration::from_millis(20));
        loop {
            often.tick().await;
            let told = Told::by(node).await;
            if is_told(&told) {
                return told;
            }
        }
    };
    let Ok(told) = tokio::time::timeout(PATIENCE, wait).await else {
        let now = Told::by(node).await;
        panic!("not all of {expected:?} is in\n{}", now.0);
    };
    told
}

/// A platform that has done all that it had to.
const AT_REST: [Expected<'static>; 7] = [
    (names::PIPELINE_RUNS, &[], 0.0),
    (names::PIPELINE_OLDEST, &[], 0.0),
    (names::EVENTS_LAG, &[], 0.0),
    (names::JOBS, &[], 0.0),
    (names::WORKERS, &[], 1.0),
    (names::WORKER_SLOTS, &[("state", "idle")], 2.0),
    (names::LEDGER_PENDING, &[], 0.0),
];

/// Pictures, of which one is none, through a pipeline.
async fn process(node: &TestNode) {
    let definition = serde_json::json!({
        "name": "look",
        "on": {"event": "session.completed", "dataset": "raw"},
        "steps": [
            {"name": "typed", "check": "media-type"},
            {"name": "decodes", "check": "image-decodable", "with": {"mode": "full"}},
        ],
    });
    let request = ApplyPipelineRequest {
        parent: "projects/default".into(),
        definition: Some(json::from_json(definition).unwrap()),
    };
    PipelineServiceClient::new(node.link())
        .apply_pipeline(request)
        .await
        .unwrap();
    let dataset = node.dataset("raw").await;
    let files = vec![("good.jpg", jpeg(8, 8, 1)), ("bad.jpg", b"none".to_vec())];
    let session = node.session(&dataset, "s", Session::default(), files).await;
    let found = node.processed(&session).await;
    assert_eq!(found.state(), SessionState::Failed);
    let request = BatchCreateDownloadsRequest {
        parent: "projects/default".into(),
        assets: vec![session.asset("good.jpg").to_string()],
    };
    DownloadServiceClient::new(node.link())
        .batch_create_downloads(request)
        .await
        .unwrap();
}

/// A job that ends badly.
async fn run(node: &TestNode) {
    let entrypoint = Entrypoint {
        name: ENTRYPOINT.into(),
        app: Some(AppSpec {
            cmd: vec!["sh".into(), "-c".into(), "exit 3".into()],
            env: vec![],
        }),
        handler: Some(HandlerSpec::default()),
        resources: Some(Resources {
            memory_bytes: 64 << 20,
            ..Resources::default()
        }),
        ..Entrypoint::default()
    };
    let request = ApplyCatalogRequest {
        entrypoints: vec![entrypoint],
        ..ApplyCatalogRequest::default()
    };
    ApplicationServiceClient::new(node.link())
        .apply_catalog(request)
        .await
        .unwrap();
    let job = Job {
        entrypoint: ENTRYPOINT.into(),
        ..Job::default()
    };
    let request = CreateJobRequest {
        parent: "projects/default".into(),
        job: Some(job),
        job_id: "j".into(),
        request_id: String::new(),
    };
    let mut jobs = JobServiceClient::new(node.link());
    let job = jobs.create_job(request).await.unwrap().into_inner();
    let request = WatchJobRequest { name: job.name };
    let mut changes = jobs.watch_job(request).await.unwrap().into_inner();
    let mut last = Job::default();
    while let Some(job) = changes.message().await.unwrap() {
        last = job;
    }
    assert_eq!(last.state(), JobState::Failed);
}

/// Calls that are refused, each for another reason.
async fn refused(node: &TestNode) {
    let missing = GetSessionRequest {
        name: "projects/default/datasets/raw/sessions/none".into(),
    };
    let answer = node.sessions().get_session(missing).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);

    let channel = Endpoint::from_shared(node.endpoint()).unwrap();
    let token = TokenSource::fixed("no.such.token").unwrap();
    let stranger = Link::remote(channel.connect_lazy(), token);
    let answer = TokenServiceClient::new(stranger)
        .get_principal(GetPrincipalRequest::default())
        .await;
    assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);

    let quota = Quota {
        name: "projects/default/quota".into(),
        max_objects: 1,
        ..Quota::default()
    };
    let request = UpdateQuotaRequest {
        quota: Some(quota),
        update_mask: None,
    };
    UsageServiceClient::new(node.link())
        .update_quota(request)
        .await
        .unwrap();
    let dataset = node.dataset("full").await;
    let session = dataset.session("s").unwrap();
    let request = granary_proto::metadata::v1::CreateSessionRequest {
        parent: dataset.to_string(),
        session: Some(Session::default()),
        session_id: "s".into(),
        request_id: String::new(),
    };
    node.sessions().create_session(request).await.unwrap();
    let item = Item {
        path: "a.bin".into(),
        source: Source::Bytes(vec![1].into()),
        media_type: String::new(),
        derived_from: vec![],
        producer: String::new(),
    };
    let uploader = Uploader::new(node.link(), UploadOptions::default());
    let answer = uploader.upload(&session, vec![item], &NoProgress).await;
    answer.expect_err("it is over the quota");
}

/// Calls of methods that there are not.
async fn made_up(node: &TestNode) {
    let client = reqwest::Client::builder().http2_prior_knowledge();
    let client = client.build().unwrap();
    for i in 0..50 {
        for path in [
            format!("made.up.v1.Service{i}/Method{i}"),
            format!("granary.metadata.v1.SessionService/MadeUp{i}"),
        ] {
            let request = client.post(format!("{}/{path}", node.endpoint()));
            let request = request.header("content-type", "application/grpc");
            let request = request.bearer_auth(node.token());
            request.send().await.unwrap();
        }
    }
}

fn calls_are_counted(before: &Told, after: &Told) {
    let grown = |name, labels: &[_]| after.sum(name, labels) - before.sum(name, labels);
    let get = [
        ("grpc_service", "granary.metadata.v1.SessionService"),
        ("grpc_method", "GetSession"),
        ("grpc_type", "unary"),
    ];
    let missing = [&get[..], &[("grpc_code", "NotFound")]].concat();
    assert_eq!(grown(names::SERVER_HANDLED, &missing), 1.0);
    let stranger = [
        ("grpc_method", "GetPrincipal"),
        ("grpc_code", "Unauthenticated"),
    ];
    assert_eq!(grown(names::SERVER_HANDLED, &stranger), 1.0);
    // All that began has ended, and each was timed.
    let started = grown(names::SERVER_STARTED, &get);
    assert!(started >= 2.0, "{started}");
    assert_eq!(grown(names::SERVER_HANDLED, &get), started);
    assert_eq!(grown("grpc_server_handling_seconds_count", &get), started);
    let bucket = [&get[..], &[("le", "+Inf")]].concat();
    assert_eq!(
        grown("grpc_server_handling_seconds_bucket", &bucket),
        started
    );
    // Services call each other in the process.
    let finish = [("grpc_method", "FinishSession"), ("grpc_code", "OK")];
    assert!(grown(names::CLIENT_HANDLED, &finish) >= 1.0);
    assert_eq!(grown(names::TOKEN_CHECKS, &[("result", "malformed")]), 1.0);
    assert!(grown(names::TOKEN_CHECKS, &[("result", "ok")]) > 10.0);
    assert_eq!(grown(names::REQUESTS_REFUSED, &[("reason", "quota")]), 1.0);
}

fn sessions_are_counted(before: &Told, after: &Told) {
    let grown = |name, labels: &[_]| after.sum(name, labels) - before.sum(name, labels);
    assert_eq!(grown(names::UPLOADS, &[("outcome", "completed")]), 2.0);
    let bytes = (jpeg(8, 8, 1).len() + 4) as f64;
    assert_eq!(grown(names::UPLOAD_BYTES, &[]), bytes);
    assert_eq!(grown(names::DOWNLOADS_SIGNED, &[]), 1.0);
    for outcome in ["ready", "rejected"] {
        let grown = grown(names::PIPELINE_ASSETS, &[("outcome", outcome)]);
        assert_eq!(grown, 1.0, "{outcome}");
    }
    assert_eq!(
        grown(names::PIPELINE_RUNS_DONE, &[("outcome", "failed")]),
        1.0
    );
    let typed = [("step", "media-type")];
    assert_eq!(grown("granary_pipeline_step_seconds_count", &typed), 2.0);
}

fn jobs_and_batches_are_counted(before: &Told, after: &Told) {
    let grown = |name, labels: &[_]| after.sum(name, labels) - before.sum(name, labels);
    let application = [("outcome", "application")];
    assert_eq!(grown(names::JOB_ATTEMPTS, &application), 1.0);
    assert_eq!(
        grown("granary_job_attempt_seconds_count", &application),
        1.0
    );
    assert_eq!(grown("granary_job_wait_seconds_count", &[]), 1.0);
    for service in ["metadata", "storage", "pipeline", "job"] {
        let of = [("service", service)];
        assert!(grown("granary_db_batch_size_count", &of) > 0.0, "{service}");
        assert!(grown("granary_db_batch_seconds_count", &of) > 0.0);
        let most = after.sum(names::DB_CONNECTIONS_MAX, &of);
        let open = after.sum(names::DB_CONNECTIONS, &of);
        assert!((1.0..=most).contains(&open), "{service}: {open} of {most}");
    }
}

fn now(after: &Told) {
    assert_eq!(after.sum(names::READY, &[]), 1.0);
    let task = [("task", "write manifests")];
    assert_eq!(after.sum(names::LEADER, &task), 1.0);
    assert!(after.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(after.sum("process_open_fds", &[]) > 3.0);
}

fn all_are_there_and_described(told: &Told) {
    for metric in names::ALL {
        let (name, help) = (metric.name, metric.help);
        assert!(
            told.0.contains(&format!("# HELP {name} {help}\n")),
            "{name} is not told, or not what it means:\n{}",
            told.0
        );
    }
    let lines = told.0.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        assert!(line.contains("component=\"embedded\""), "{line}");
    }
}

#[tokio::test]
async fn a_platform_tells_what_it_does_by_names_that_do_not_grow() {
    for backend in backends() {
        let mut node = TestNode::start_measured(&backend).await;
        let before = Told::by(&node).await;
        process(&node).await;
        let runs = before.sum("granary_pipeline_run_seconds_count", &[]) + 1.0;
        let processed = told(&node, "granary_pipeline_run_seconds_count", runs).await;
        sessions_are_counted(&before, &processed);
        run(&node).await;
        refused(&node).await;
        node.recorded().await;
        let after = told_all(&node, &AT_REST).await;
        calls_are_counted(&before, &after);
        jobs_and_batches_are_counted(&before, &after);
        now(&after);

        made_up(&node).await;
        let later = Told::by(&node).await;
        let unknown = [("grpc_service", "unknown"), ("grpc_method", "unknown")];
        let grown =
            later.sum(names::SERVER_STARTED, &unknown) - after.sum(names::SERVER_STARTED, &unknown);
        assert_eq!(grown, 100.0);
        assert!(!later.0.to_lowercase().contains("made"), "{}", later.0);

        let (there, other) = (node.metrics_endpoint(), "/");
        let answer = reqwest::get(format!("{there}{other}")).await.unwrap();
        assert_eq!(answer.status(), 404);
        node.restart().await;
        assert!(reqwest::get(format!("{there}/metrics")).await.is_err());
        // A new process looks at once at what projects hold.
        let last = told(&node, names::READY, 1.0).await;
        let default = [("project", "default")];
        assert!(last.sum(names::PROJECT_BYTES, &default) > 100.0);
        assert!(last.sum(names::PROJECT_OBJECTS, &default) >= 2.0);
        assert!(last.sum(names::PROJECT_REQUESTS, &default) > 5.0);
        all_are_there_and_described(&last);
    }
}
