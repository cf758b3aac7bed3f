//! Calls to the Job service.

use std::time::Duration;

use granary_core::{Result, name::WorkerName};
use granary_proto::{
    MAX_MESSAGE_BYTES, convert,
    job::v1::{
        AcquireJobsRequest, AcquireJobsResponse, BatchFinishJobsRequest, BatchReportJobsRequest,
        HeldLease, JobFinish, JobFinishResult, JobReport, JobReportResult, RegisterWorkerRequest,
        Resources, Worker, worker_service_client::WorkerServiceClient,
    },
};
use granary_runtime::{Link, rpc::answer};

/// How long any call but a wait may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The Job service, as this worker.
#[derive(Clone, Debug)]
pub struct Api {
    link: Link,
    name: WorkerName,
}

impl Api {
    /// A worker's way to the service.
    pub fn new(link: Link, name: WorkerName) -> Self {
        Self { link, name }
    }

    fn client(&self) -> WorkerServiceClient<Link> {
        WorkerServiceClient::new(self.link.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Announces this worker; jobs of an earlier incarnation go back to the queue, but those that are still held.
    pub async fn register(&self, resources: Resources, held: Vec<HeldLease>) -> Result<()> {
        let worker = Worker {
            name: self.name.to_string(),
            resources: Some(resources),
            heartbeat_time: None,
            held,
        };
        let request = within(
            RegisterWorkerRequest {
                worker: Some(worker),
            },
            PATIENCE,
        );
        answer(self.client().register_worker(request).await).map(drop)
    }

    /// Asks for one job that fits into what is free; waits for it.
    pub async fn acquire(&self, free: Resources, wait: Duration) -> Result<AcquireJobsResponse> {
        self.ask(AcquireJobsRequest {
            max_jobs: 1,
            free: Some(free),
            wait: Some(convert::wire_duration(wait)),
            ..AcquireJobsRequest::default()
        })
        .await
    }

    /// Asks for jobs with images; waits for one.
    pub async fn acquire_images(
        &self,
        max_jobs: i32,
        free: Resources,
        wait: Duration,
    ) -> Result<AcquireJobsResponse> {
        self.ask(AcquireJobsRequest {
            max_jobs,
            free: Some(free),
            wait: Some(convert::wire_duration(wait)),
            with_image: true,
            ..AcquireJobsRequest::default()
        })
        .await
    }

    async fn ask(&self, request: AcquireJobsRequest) -> Result<AcquireJobsResponse> {
        let wait = convert::duration("wait", request.wait.unwrap_or_default())?;
        let request = AcquireJobsRequest {
            name: self.name.to_string(),
            ..request
        };
        answer(
            self.client()
                .acquire_jobs(within(request, wait + PATIENCE))
                .await,
        )
    }

    /// Reports what is held.
    pub async fn report(&self, reports: Vec<JobReport>) -> Result<Vec<JobReportResult>> {
        let request = BatchReportJobsRequest {
            name: self.name.to_string(),
            reports,
        };
        Ok(answer(
            self.client()
                .batch_report_jobs(within(request, PATIENCE))
                .await,
        )?
        .results)
    }

    /// Ends attempts.
    pub async fn finish(&self, finishes: Vec<JobFinish>) -> Result<Vec<JobFinishResult>> {
        let request = BatchFinishJobsRequest {
            name: self.name.to_string(),
            finishes,
        };
        Ok(answer(
            self.client()
                .batch_finish_jobs(within(request, PATIENCE))
                .await,
        )?
        .results)
    }
}

fn within<T>(message: T, patience: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(patience);
    request
}
