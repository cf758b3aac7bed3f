//! What Prometheus is told of jobs: how many there are, how long they wait and take, how they end.

use std::{sync::Arc, time::Duration};

use granary_core::Result;
use granary_proto::job::v1::FailureClass;
use granary_runtime::{
    metrics::{self, counter, gauge, histogram, names},
    task::Tasks,
};

use crate::{
    core::{Core, micros},
    state::State,
    store::{attempts, jobs, workers},
};

/// How long ago a worker was heard of that counts.
const HEARD: Duration = Duration::from_secs(60);

/// Has the queue looked at whenever metrics are asked for.
pub(crate) fn start(tasks: &Tasks, core: Arc<Core>) {
    metrics::sample(tasks, move || {
        let core = core.clone();
        async move {
            if let Err(error) = sample(&core).await {
                tracing::warn!(%error, "the queue of jobs cannot be measured");
            }
        }
    });
}

async fn sample(core: &Core) -> Result<()> {
    let (db, now) = (core.db.reader(), core.now());
    let found = jobs::alive(db).await?;
    for (state, name) in [
        (State::Queued, "queued"),
        (State::Assigned, "assigned"),
        (State::Preparing, "preparing"),
        (State::Running, "running"),
        (State::Finishing, "finishing"),
    ] {
        let alive = found.iter().find(|alive| alive.state == state);
        let count = alive.map_or(0, |alive| alive.count);
        gauge!(names::JOBS, "state" => name).set(count as f64);
        if state == State::Queued {
            let since = alive.map_or(now, |alive| alive.since);
            gauge!(names::JOBS_OLDEST_QUEUED).set(seconds(since, now));
        }
    }
    let heard = workers::heard_since(db, now.saturating_sub(micros(HEARD))).await?;
    gauge!(names::WORKERS).set(heard as f64);
    Ok(())
}

/// Notes how long a job waited that is leased now.
pub(crate) fn waited(row: &jobs::Row, now: i64) {
    histogram!(names::JOB_WAIT_SECONDS).record(seconds(row.queued_since(), now));
}

/// Counts attempts that have ended.
pub(crate) fn ended(ended: &[attempts::Ended]) {
    for attempt in ended {
        let outcome = outcome(attempt.failure);
        counter!(names::JOB_ATTEMPTS, "outcome" => outcome).increment(1);
        histogram!(names::JOB_ATTEMPT_SECONDS, "outcome" => outcome)
            .record(seconds(attempt.started, attempt.finished));
    }
}

fn seconds(from: i64, to: i64) -> f64 {
    let micros = u64::try_from(to.saturating_sub(from)).unwrap_or(0);
    Duration::from_micros(micros).as_secs_f64()
}

fn outcome(failure: i64) -> &'static str {
    let failure = i32::try_from(failure).ok();
    match failure.and_then(|failure| FailureClass::try_from(failure).ok()) {
        Some(FailureClass::Unspecified) => "succeeded",
        Some(FailureClass::Application) => "application",
        Some(FailureClass::Infrastructure) => "infrastructure",
        Some(FailureClass::LostLease) => "lost_lease",
        Some(FailureClass::Timeout) => "timeout",
        Some(FailureClass::OutOfMemory) => "out_of_memory",
        Some(FailureClass::Cancelled) => "cancelled",
        None => "unknown",
    }
}
