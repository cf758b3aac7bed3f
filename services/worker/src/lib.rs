//! The worker: pulls jobs, fetches their inputs, runs them, sends back what they made, and says meanwhile that it is alive.

pub mod api;
mod attempt;
pub mod board;
mod collect;
mod environment;
mod folder;
mod inputs;
pub mod launch;
mod output;
mod outputs;
pub mod pod;
pub mod refusal;
pub mod report;
mod slots;
mod traced;

use std::{path::PathBuf, sync::Arc, time::Duration};

use granary_core::{Error, Result, name::WorkerName};
use granary_proto::{
    convert,
    job::v1::{AcquireJobsResponse, Lease, Resources},
};
use granary_runtime::{Link, metrics, task::Tasks, trace};
use granary_transfer::{DownloadOptions, Downloader};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    attempt::{Host, Tools},
    board::{Board, Why},
    folder::Root,
    launch::ProcessLauncher,
    outputs::Sender,
    refusal::{Refusal, explained, is_refusal},
    report::{Finish, Interval},
    slots::Slots,
};

/// How long to wait for a job, with nothing to do and with jobs running: what is free changes when one of them ends.
const IDLE_WAIT: Duration = Duration::from_secs(30);
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// How long a program that should end may take to do so.
const GRACE: Duration = Duration::from_secs(5);
/// How long a stop may take before what is left is left to the end of its lease.
const DRAIN: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The most that one attempt may leave in the folders that are collected, if nobody says otherwise: 1 TiB.
pub const MAX_OUTPUT_BYTES: u64 = 1 << 40;

/// What a worker is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its id, which nobody else has: 1 to 63 of a-z, 0-9 and `-`, starting with a letter. A restart keeps it.
    pub name: String,
    /// Where attempts have their working folders; only one worker uses it at a time.
    pub folder: PathBuf,
    /// What it can give to jobs, in all.
    pub resources: Resources,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// The most that one attempt may leave in the folders that are collected, in bytes as its files say, holes included:
    /// [`MAX_OUTPUT_BYTES`] is usual.
    pub max_output_bytes: u64,
}

impl Options {
    /// Pulls jobs and runs them until `stop` is cancelled; then the programs that run are ended, and their jobs handed back to the queue.
    ///
    /// Fails if the folder cannot be used, or if the service refuses this worker, also later: when its token expires, say. Its jobs are then
    /// tried again when their leases end. A service that is away is waited for.
    pub async fn run(
        self,
        job: Link,
        metadata: Link,
        storage: Link,
        stop: CancellationToken,
    ) -> Result<()> {
        let name = WorkerName::new(&self.name).map_err(|error| error.within("worker"))?;
        let folder = self.folder.clone();
        let opened = tokio::task::spawn_blocking(move || Root::open(&folder)).await;
        let root =
            opened.map_err(|error| Error::internal("opening the worker's folder", error))??;
        let tools = Tools {
            downloader: Downloader::new(storage.clone(), DownloadOptions::default()),
            sender: Sender::new(metadata.clone(), storage),
            metadata,
            max_output_bytes: self.max_output_bytes,
        };
        let host = Host {
            launcher: Box::new(ProcessLauncher::new(search_path(), GRACE)?),
            root,
        };
        let (finishes, queue) = mpsc::channel(64);
        let worker = Arc::new(Worker {
            api: Api::new(job, name),
            board: Board::default(),
            refusal: Refusal::default(),
            interval: Interval::default(),
            slots: Slots::new(self.slots, self.resources),
            resources: self.resources,
            tools,
            host,
        });
        worker.work(finishes, queue, stop).await.map_err(explained)
    }
}

// The folders in which programs are looked for: those of whoever started the worker, and the usual ones.
fn search_path() -> String {
    const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    #[allow(
        clippy::disallowed_methods,
        reason = "programs are to be found as they are in the shell that started the worker; nothing else of it is passed on"
    )]
    match std::env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{USUAL}"),
        _ => USUAL.to_owned(),
    }
}

struct Worker {
    api: Api,
    board: Board,
    refusal: Refusal,
    interval: Interval,
    slots: Slots,
    resources: Resources,
    tools: Tools,
    host: Host,
}

impl Worker {
    async fn work(
        self: Arc<Self>,
        finishes: mpsc::Sender<Finish>,
        queue: mpsc::Receiver<Finish>,
        stop: CancellationToken,
    ) -> Result<()> {
        let stop = stop.child_token();
        let (background, attempts) = (Tasks::new(), Tasks::new());
        let over = CancellationToken::new();
        let worker = self.clone();
        metrics::sample(&background, move || {
            let worker = worker.clone();
            async move { worker.slots.tell() }
        });
        let (worker, until) = (self.clone(), over.clone());
        background.spawn("report", async move {
            report::report(
                &worker.api,
                &worker.board,
                &worker.interval,
                &worker.refusal,
                until,
            )
            .await
        });
        let (worker, until) = (self.clone(), over.clone());
        background.spawn("finish", async move {
            report::finish(&worker.api, queue, &worker.refusal, until).await
        });

        let result = self.pull(&attempts, &finishes, &stop).await;
        stop.cancel();
        // Who is refused cannot hand its jobs back either.
        let why = if result.is_ok() {
            Why::Worker
        } else {
            Why::Lost
        };
        for held in self.board.all() {
            held.stop(why);
        }
        if !attempts.drain(DRAIN).await {
            tracing::warn!(
                "jobs did not end in time: they go back to the queue when their leases end"
            );
        }
        drop(finishes);
        over.cancel();
        background.drain(Duration::from_secs(2)).await;
        result
    }

    async fn pull(
        self: &Arc<Self>,
        attempts: &Tasks,
        finishes: &mpsc::Sender<Finish>,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        let mut registered = false;
        while !stop.is_cancelled() {
            let answer = tokio::select! {
                answer = self.ask(registered) => answer,
                refusal = self.refusal.came() => return Err(refusal),
                () = stop.cancelled() => return Ok(()),
            };
            match answer {
                Ok(answer) => {
                    (registered, pause) = (true, FIRST_PAUSE);
                    self.begin(attempts, finishes, stop, answer);
                }
                Err(error) if is_refusal(&error) || (!registered && !report::retriable(&error)) => {
                    return Err(error);
                }
                Err(error) => {
                    // A service that has forgotten this worker has forgotten its leases too.
                    registered = registered && !matches!(error, Error::NotFound { .. });
                    tracing::warn!(%error, "cannot reach the job service: will try again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => return Ok(()),
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Asks for jobs once there is room for one; waits for them a while.
    async fn ask(&self, registered: bool) -> Result<AcquireJobsResponse> {
        if !registered {
            self.api.register(self.resources, Vec::new()).await?;
        }
        let (free, busy) = self.slots.free().await;
        let wait = if busy { BUSY_WAIT } else { IDLE_WAIT };
        let asked = tokio::time::Instant::now();
        let answer = self.api.acquire(free, wait).await?;
        // A service that is about to stop answers at once: it is not to be asked again at once.
        if answer.leases.is_empty() && asked.elapsed() < wait / 2 {
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        Ok(answer)
    }

    fn begin(
        self: &Arc<Self>,
        attempts: &Tasks,
        finishes: &mpsc::Sender<Finish>,
        stop: &CancellationToken,
        answer: AcquireJobsResponse,
    ) {
        if let Some(interval) = answer
            .report_interval
            .and_then(|interval| convert::duration("", interval).ok())
        {
            self.interval.set(interval);
        }
        for lease in answer.leases {
            let need = lease
                .job
                .as_ref()
                .and_then(|job| job.resources)
                .unwrap_or_default();
            self.slots.take(&need);
            let (worker, finishes, stop) = (self.clone(), finishes.clone(), stop.clone());
            attempts.spawn("attempt", async move {
                let (span, parent) = traced::attempt(&lease);
                trace::within(span, parent, worker.attempt(lease, &finishes, &stop)).await;
                worker.slots.give_back(&need);
            });
        }
    }

    async fn attempt(
        &self,
        lease: Lease,
        finishes: &mpsc::Sender<Finish>,
        stop: &CancellationToken,
    ) {
        let job = lease
            .job
            .as_ref()
            .map(|job| job.name.clone())
            .unwrap_or_default();
        tracing::info!(job, attempt = lease.attempt, "attempt begins");
        let held = self.board.hold(&job, lease.lease_number);
        if stop.is_cancelled() {
            // It came too late to be stopped with the others.
            held.stop(Why::Worker);
        }
        if let Some(finish) = attempt::run(&self.tools, &self.host, &held, lease).await {
            let (sender, done) = oneshot::channel();
            // The lease is kept until the service knows.
            if finishes.send((finish, sender)).await.is_ok() {
                let _ = done.await;
            }
        }
        self.board.release(&held);
    }
}
