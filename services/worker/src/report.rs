//! Heartbeats and ends: everything that this worker has to say goes in batches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use granary_core::{Error, Result};
use granary_proto::job::v1::{JobFinish, JobReportResult};
use granary_runtime::rpc::from_item;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    board::{Board, Held, Why},
    refusal::{Refusal, is_refusal},
};

/// The most output in one call, so that it fits into a message.
const CALL_BYTES: usize = 4 * 1024 * 1024;
const AT_ONCE: usize = 1000;
/// How long output gathers before it goes.
const GATHER: Duration = Duration::from_millis(500);
/// How often the service wants to hear of each job, until it says so itself.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);

/// How often to report.
#[derive(Debug)]
pub struct Interval(AtomicU64);

impl Default for Interval {
    fn default() -> Self {
        Self(AtomicU64::new(
            u64::try_from(FIRST_INTERVAL.as_millis()).unwrap_or(2000),
        ))
    }
}

impl Interval {
    /// Takes over what the service wants, within reason.
    pub fn set(&self, interval: Duration) {
        let millis = u64::try_from(interval.as_millis())
            .unwrap_or(u64::MAX)
            .clamp(50, 10_000);
        self.0.store(millis, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Reports what is held, until `stop`, or until the service refuses this worker.
pub async fn report(
    api: &Api,
    board: &Board,
    interval: &Interval,
    refusal: &Refusal,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval.get()) => {}
            () = board.activity() => {
                // A little later there is more to say, unless much waits already.
                if !board.all().iter().any(|held| held.is_pressing()) {
                    tokio::time::sleep(GATHER.min(interval.get())).await;
                }
            }
            () = stop.cancelled() => return,
        }
        let held = board.all();
        for chunk in held.chunks(AT_ONCE) {
            if let Err(error) = once(api, chunk).await {
                if refusal.note(&error) {
                    return;
                }
                tracing::warn!(%error, "cannot report to the job service: will try again");
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}

async fn once(api: &Api, held: &[Arc<Held>]) -> Result<()> {
    let mut room = CALL_BYTES;
    let mut reports = Vec::with_capacity(held.len());
    for attempt in held {
        let report = attempt.report(room);
        room -= report.log_data.len();
        reports.push(report);
    }
    let results = api.report(reports.clone()).await?;
    for ((attempt, report), result) in held.iter().zip(&reports).zip(results) {
        answered(attempt, &result);
        if result.error.is_none() {
            attempt.taken(report);
        }
    }
    Ok(())
}

fn answered(attempt: &Held, result: &JobReportResult) {
    match result.error.clone().map(from_item) {
        Some(Error::Precondition { .. } | Error::NotFound { .. }) => {
            tracing::warn!(job = attempt.job, "lost the lease: stopping the job");
            attempt.stop(Why::Lost);
        }
        Some(error) => tracing::warn!(job = attempt.job, %error, "a report was refused"),
        None if result.cancel => attempt.stop(Why::Cancelled),
        None => {}
    }
}

/// An attempt's end, and whom to tell once the service has it.
pub type Finish = (JobFinish, oneshot::Sender<()>);

/// Sends ends until nobody has any more. A service that is away is waited for, but not beyond `give_up`.
pub async fn finish(
    api: &Api,
    mut queue: mpsc::Receiver<Finish>,
    refusal: &Refusal,
    give_up: CancellationToken,
) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, AT_ONCE).await > 0 {
        let (finishes, callers): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
        tokio::select! {
            () = deliver(api, finishes, refusal) => {}
            () = give_up.cancelled() => tracing::warn!("the job service was not told of all ends: its leases will end"),
        }
        for caller in callers {
            let _ = caller.send(());
        }
    }
}

async fn deliver(api: &Api, mut finishes: Vec<JobFinish>, refusal: &Refusal) {
    let mut pause = GATHER;
    loop {
        match api.finish(finishes.clone()).await {
            Ok(results) => {
                // What failed for the moment is tried again; what was refused is not.
                let again: std::collections::BTreeSet<String> = results
                    .into_iter()
                    .filter_map(|result| Some((result.job, from_item(result.error?))))
                    .inspect(|(job, error)| tracing::warn!(job, %error, "the end of an attempt was refused"))
                    .filter(|(_, error)| error.is_transient())
                    .map(|(job, _)| job)
                    .collect();
                finishes.retain(|finish| again.contains(&finish.job));
                if finishes.is_empty() {
                    return;
                }
            }
            Err(error) if refusal.note(&error) || !retriable(&error) => {
                tracing::error!(%error, "the ends of attempts were refused");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot tell the job service of ends: will try again")
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// Whether it is worth trying again: anything but a request that will never be taken.
pub fn retriable(error: &Error) -> bool {
    !is_refusal(error)
        && !matches!(
            error,
            Error::Invalid(_) | Error::NotFound { .. } | Error::Precondition { .. }
        )
}
