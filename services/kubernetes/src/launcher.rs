//! Takes leases, makes Jobs of them, and tells how they ended.

use std::{sync::Arc, time::Duration};

use granary_core::{Error, Result};
use granary_proto::{
    convert,
    job::v1::{AcquireJobsResponse, HeldLease, Resources},
};
use granary_runtime::task::Tasks;
use granary_worker::{
    api::Api,
    board::Board,
    refusal::{Refusal, explained, is_refusal},
    report::{self, Finish, Interval},
};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Options,
    adopt::{self, Found},
    cluster::Cluster,
    fleet::Fleet,
    seen::Seen,
    watch,
};

/// How many jobs are taken in one call.
const AT_ONCE: usize = 50;
const WAIT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long what is under way here may take at the end; pods run on.
const DRAIN: Duration = Duration::from_secs(5);

/// What one job may ask for: the cluster itself says what it has.
const MUCH: Resources = Resources {
    memory_bytes: 1 << 46,
    cpus: 1024.0,
    gpus: 64,
    timeout: None,
};

/// What all attempts share.
pub(crate) struct Launcher {
    pub options: Options,
    pub cluster: Cluster,
    pub board: Board,
    pub fleet: Fleet,
    pub finishes: mpsc::Sender<Finish>,
    pub stop: CancellationToken,
    api: Api,
    refusal: Refusal,
    interval: Interval,
    slots: Arc<Semaphore>,
    /// No more jobs are taken before this time: the cluster has no room.
    not_before: Mutex<Option<Instant>>,
}

/// Runs jobs until `stop`.
pub(crate) async fn run(options: Options, cluster: Cluster, stop: CancellationToken) -> Result<()> {
    let (finishes, queue) = mpsc::channel(64);
    // Also when this future is dropped: somebody else leads then.
    let over = stop.child_token();
    let _ending = over.clone().drop_guard();
    let launcher = Arc::new(Launcher {
        api: Api::new(options.job.clone(), options.worker.clone()),
        slots: Arc::new(Semaphore::new(options.settings.max_jobs)),
        options,
        cluster,
        board: Board::default(),
        fleet: Fleet::default(),
        finishes,
        stop: over.clone(),
        refusal: Refusal::default(),
        interval: Interval::default(),
        not_before: Mutex::default(),
    });
    let tasks = Tasks::new();
    let result = match launcher.take_over(&tasks).await {
        Ok(()) => {
            launcher.clone().attend(&tasks, queue);
            launcher.pull(&tasks).await
        }
        Err(error) => Err(error),
    };
    over.cancel();
    tasks.drain(DRAIN).await;
    result.map_err(explained)
}

impl Launcher {
    /// What goes on beside: the watch of the cluster, and what the service is told.
    fn attend(self: Arc<Self>, tasks: &Tasks, queue: mpsc::Receiver<Finish>) {
        let launcher = self.clone();
        tasks.spawn("watch the cluster", async move {
            watch::watch(&launcher.cluster, &launcher.fleet, launcher.stop.clone()).await;
        });
        let launcher = self.clone();
        tasks.spawn("report", async move {
            let stop = launcher.stop.clone();
            let Self {
                api,
                board,
                interval,
                refusal,
                ..
            } = &*launcher;
            report::report(api, board, interval, refusal, stop).await;
        });
        tasks.spawn("finish", async move {
            report::finish(&self.api, queue, &self.refusal, self.stop.clone()).await;
        });
    }

    /// Takes over what is under way in the cluster, and announces the worker with it.
    async fn take_over(self: &Arc<Self>, tasks: &Tasks) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        let found = loop {
            match adopt::find(&self.cluster).await {
                Ok(found) => break found,
                Err(failure) => {
                    tracing::warn!(?failure, "cannot call the cluster: will try again");
                }
            }
            if !self.pause(&mut pause).await {
                return Ok(());
            }
        };
        tracing::info!(jobs = found.len(), "launches jobs in the cluster");
        self.register(found.iter().map(Found::lease).collect())
            .await?;
        for Found { known, job } in found {
            let seen = Seen {
                job: Some(job),
                ..Seen::default()
            };
            let permit = self.slots.clone().try_acquire_owned().ok();
            let launcher = self.clone();
            tasks.spawn("attempt", async move {
                launcher.adopted(known, seen).await;
                drop(permit);
            });
        }
        Ok(())
    }

    /// Waits a little longer each time; whether to go on.
    async fn pause(&self, pause: &mut Duration) -> bool {
        let length = *pause;
        *pause = (length * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = tokio::time::sleep(length) => true,
            () = self.stop.cancelled() => false,
        }
    }

    async fn register(&self, held: Vec<HeldLease>) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.api.register(MUCH, held.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) if !report::retriable(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot reach the job service: will try again");
                }
            }
            if !self.pause(&mut pause).await {
                return Ok(());
            }
        }
    }

    async fn pull(self: &Arc<Self>, tasks: &Tasks) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = tokio::select! {
                answer = self.ask() => answer,
                refusal = self.refusal.came() => return Err(refusal),
                () = self.stop.cancelled() => return Ok(()),
            };
            match answer {
                Ok((answer, permit)) => {
                    pause = FIRST_PAUSE;
                    self.begin(tasks, answer, permit);
                    continue;
                }
                Err(error) if is_refusal(&error) => return Err(error),
                Err(Error::NotFound { .. }) => {
                    // A service that has forgotten this worker takes back nothing that it says it holds.
                    let held = self.board.all();
                    let leases = held.iter().map(|held| HeldLease {
                        job: held.job.clone(),
                        lease_number: held.lease,
                    });
                    self.register(leases.collect()).await?;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot reach the job service: will try again");
                }
            }
            if !self.pause(&mut pause).await {
                return Ok(());
            }
        }
    }

    /// Asks for as many jobs as there is room for, once there is room for one.
    async fn ask(&self) -> Result<(AcquireJobsResponse, Option<OwnedSemaphorePermit>)> {
        let permit = self.slots.clone().acquire_owned().await.ok();
        let not_before = *self.not_before.lock();
        if let Some(at) = not_before {
            tokio::time::sleep_until(at).await;
        }
        let more = self.slots.available_permits().min(AT_ONCE - 1);
        let max_jobs = i32::try_from(1 + more).unwrap_or(1);
        let asked = Instant::now();
        let answer = self.api.acquire_images(max_jobs, MUCH, WAIT).await?;
        // A service that is about to stop answers at once: it is not to be asked again at once.
        if answer.leases.is_empty() && asked.elapsed() < WAIT / 2 {
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        Ok((answer, permit))
    }

    fn begin(
        self: &Arc<Self>,
        tasks: &Tasks,
        answer: AcquireJobsResponse,
        mut permit: Option<OwnedSemaphorePermit>,
    ) {
        let interval = answer.report_interval;
        if let Some(interval) = interval.and_then(|i| convert::duration("", i).ok()) {
            self.interval.set(interval);
        }
        for lease in answer.leases {
            let launcher = self.clone();
            let permit = permit
                .take()
                .or_else(|| self.slots.clone().try_acquire_owned().ok());
            tasks.spawn("attempt", async move {
                launcher.leased(lease).await;
                drop(permit);
            });
        }
    }

    /// Takes no more jobs for a while.
    pub(crate) fn rest(&self, pause: Duration) {
        *self.not_before.lock() = Some(Instant::now() + pause);
    }
}
