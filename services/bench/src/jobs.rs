//! Jobs: submitted one by one over many connections, then claimed and completed in batches by a worker that runs nothing.

use std::time::Instant;

use anyhow::Context as _;
use granary_proto::{
    MAX_MESSAGE_BYTES,
    identity::v1::{CreateTokenRequest, Role, token_service_client::TokenServiceClient},
    job::v1::{
        AcquireJobsRequest, AppSpec, ApplyCatalogRequest, BatchFinishJobsRequest, CreateJobRequest,
        Entrypoint, HandlerSpec, Job, JobFinish, RegisterWorkerRequest, Resources, Worker,
        application_service_client::ApplicationServiceClient,
        worker_service_client::WorkerServiceClient,
    },
};

use crate::{
    Args, floor,
    load::{Until, closed_loop},
    report::Report,
    server::Server,
    wire::Wire,
};

const CREATE: &str = "/granary.job.v1.JobService/CreateJob";
const ENTRYPOINT: &str = "applications/bench/versions/v1/entrypoints/nothing";
const BATCH: i32 = 100;

pub(crate) async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(&["--job-slots", "0"]).await?;
    catalog(&server).await?;
    let target = args.jobs.div_ceil(args.connections);
    let wires = server.wires(args.connections).await?;
    let uri = wires.first().context("no connection")?.uri(CREATE)?;
    let submitted = closed_loop(
        wires,
        Until::Calls(target),
        move |wire: Wire, connection, call| {
            let uri = uri.clone();
            async move { wire.call(uri, &submission(connection, call)).await }
        },
    )
    .await?;
    let count = target * args.connections;
    report.line("jobs submitted", format!("{:>10.1} /s", submitted.rate));

    let token = worker_token(&server).await?;
    let begin = Instant::now();
    let workers = ["bench-a", "bench-b"].map(|name| work(&server, &token, name));
    let done: usize = futures::future::try_join_all(workers)
        .await?
        .into_iter()
        .sum();
    anyhow::ensure!(done == count, "{done} of {count} jobs were completed");
    let rate = floor::load_rate(count, begin.elapsed());
    report.figure(
        "jobs claimed and completed",
        rate,
        "/s",
        3_000.0,
        "at least",
    );
    report.ratio(
        "of the floor",
        rate,
        floor::fsync_rate()?,
        "fsyncs a second",
    );
    Ok(())
}

fn submission(connection: usize, call: usize) -> CreateJobRequest {
    let job = Job {
        entrypoint: ENTRYPOINT.into(),
        ..Job::default()
    };
    CreateJobRequest {
        parent: "projects/default".into(),
        job: Some(job),
        job_id: format!("j-{connection}-{call}"),
        request_id: String::new(),
    }
}

async fn work(server: &Server, token: &str, name: &str) -> anyhow::Result<usize> {
    let link = server.connect_as(token).await?;
    let mut client = WorkerServiceClient::new(link)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let name = format!("workers/{name}");
    let machine = Resources {
        memory_bytes: 64 << 30,
        cpus: 1000.0,
        gpus: 0,
        timeout: None,
    };
    let worker = Worker {
        name: name.clone(),
        resources: Some(machine),
        ..Worker::default()
    };
    client
        .register_worker(RegisterWorkerRequest {
            worker: Some(worker),
        })
        .await?;
    let mut done = 0;
    loop {
        let request = AcquireJobsRequest {
            name: name.clone(),
            max_jobs: BATCH,
            free: Some(machine),
            ..AcquireJobsRequest::default()
        };
        let leases = client.acquire_jobs(request).await?.into_inner().leases;
        if leases.is_empty() {
            return Ok(done);
        }
        let finishes = leases.into_iter().map(|lease| JobFinish {
            job: lease.job.unwrap_or_default().name,
            lease_number: lease.lease_number,
            ..JobFinish::default()
        });
        let request = BatchFinishJobsRequest {
            name: name.clone(),
            finishes: finishes.collect(),
        };
        let results = client
            .batch_finish_jobs(request)
            .await?
            .into_inner()
            .results;
        anyhow::ensure!(
            results.iter().all(|result| result.error.is_none()),
            "a lease was lost"
        );
        done += results.len();
    }
}

async fn catalog(server: &Server) -> anyhow::Result<()> {
    let entrypoint = Entrypoint {
        name: ENTRYPOINT.into(),
        app: Some(AppSpec {
            cmd: vec!["true".into()],
            env: vec![],
        }),
        handler: Some(HandlerSpec::default()),
        ..Entrypoint::default()
    };
    let request = ApplyCatalogRequest {
        entrypoints: vec![entrypoint],
        ..ApplyCatalogRequest::default()
    };
    ApplicationServiceClient::new(server.connect().await?)
        .apply_catalog(request)
        .await?;
    Ok(())
}

async fn worker_token(server: &Server) -> anyhow::Result<String> {
    let request = CreateTokenRequest {
        subject: "bench".into(),
        role: Role::Worker.into(),
        lifetime: None,
    };
    Ok(TokenServiceClient::new(server.connect().await?)
        .create_token(request)
        .await?
        .into_inner()
        .token)
}
