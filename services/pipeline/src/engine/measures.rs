//! What Prometheus is told of the engine: what waits, how long steps take, how runs and assets end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use granary_core::Result;
use granary_proto::{
    metadata::v1::{AssetEvent, AssetStateUpdate},
    pipeline::v1::RunState,
};
use granary_runtime::{
    metrics::{self, Counter, Histogram, counter, gauge, histogram, names},
    task::Tasks,
};

use super::Engine;
use crate::{
    steps::Action,
    store::{runs::RunRow, waiting, write::Write},
};

/// Has the queue looked at whenever metrics are asked for.
pub(super) fn start(tasks: &Tasks, engine: Arc<Engine>) {
    metrics::sample(tasks, move || {
        let engine = engine.clone();
        async move {
            if let Err(error) = sample(&engine).await {
                tracing::warn!(%error, "the queue of sessions cannot be measured");
            }
        }
    });
}

async fn sample(engine: &Engine) -> Result<()> {
    let now = engine.now();
    gauge!(names::EVENTS_LAG).set(engine.lag.at(now));
    let waiting = waiting::count(&engine.db, now).await?;
    let runs = |state| gauge!(names::PIPELINE_RUNS, "state" => state);
    runs("queued").set(waiting.queued as f64);
    runs("running").set(waiting.running as f64);
    let oldest = seconds(waiting.since.unwrap_or(now), now);
    gauge!(names::PIPELINE_OLDEST).set(oldest);
    Ok(())
}

fn seconds(from: i64, to: i64) -> f64 {
    let micros = u64::try_from(to.saturating_sub(from)).unwrap_or(0);
    Duration::from_micros(micros).as_secs_f64()
}

/// Since when there are events that were not taken, or may be: while the stream is broken nobody knows. 0 is never.
#[derive(Debug, Default)]
pub(super) struct Lag(AtomicI64);

impl Lag {
    /// There is an event of this time, or may be one since.
    pub(super) fn behind(&self, since: i64) {
        let _ = self
            .0
            .compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// All events that were heard of are taken.
    pub(super) fn none(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn at(&self, now: i64) -> f64 {
        match self.0.load(Ordering::Relaxed) {
            0 => 0.0,
            since => seconds(since, now),
        }
    }
}

/// How long one step takes, by its kind.
#[derive(Debug)]
pub(super) struct StepSeconds(Option<Histogram>);

impl StepSeconds {
    pub(super) fn of(action: &Action) -> Self {
        let seconds = || histogram!(names::PIPELINE_STEP_SECONDS, "step" => action.name());
        Self(metrics::is_on().then(seconds))
    }

    /// From now until what it gives is dropped. Reads no clock if metrics are off.
    pub(super) fn begin(&self) -> Measured<'_> {
        Measured(self.0.as_ref().map(|seconds| (seconds, Instant::now())))
    }
}

/// A step that works.
#[derive(Debug)]
pub(super) struct Measured<'a>(Option<(&'a Histogram, Instant)>);

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        if let Some((seconds, begun)) = self.0 {
            seconds.record(begun.elapsed());
        }
    }
}

/// Runs that end with a write.
#[derive(Debug)]
pub(super) struct Ended(Vec<&'static str>);

impl Ended {
    pub(super) fn of(write: &Write) -> Self {
        let ended = write.runs.iter().filter(|run| run.finish_time > 0);
        let outcome = ended.map(|run| match run.state {
            RunState::Succeeded => "processed",
            _ if run.error.is_empty() => "failed",
            _ => "error",
        });
        Self(outcome.collect())
    }

    /// Counts them, once they are written.
    pub(super) fn count(self) {
        for outcome in self.0 {
            counter!(names::PIPELINE_RUNS_DONE, "outcome" => outcome).increment(1);
        }
    }
}

/// Notes how long runs took that have ended.
pub(super) fn took(runs: &[RunRow], now: i64) {
    for run in runs {
        histogram!(names::PIPELINE_RUN_SECONDS).record(seconds(run.start_time, now));
    }
}

/// What counts the verdict on an asset, if it is one.
pub(super) fn outcome(update: &AssetStateUpdate) -> Option<Counter> {
    match update.event() {
        AssetEvent::Accepted => Some(counter!(names::PIPELINE_ASSETS, "outcome" => "ready")),
        AssetEvent::Refused => Some(counter!(names::PIPELINE_ASSETS, "outcome" => "rejected")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_lags_since_the_oldest_event_that_was_not_taken() {
        let lag = Lag::default();
        assert_eq!(lag.at(9_000_000), 0.0);
        lag.behind(4_000_000);
        lag.behind(5_000_000);
        assert_eq!(lag.at(9_000_000), 5.0);
        lag.none();
        assert_eq!(lag.at(9_000_000), 0.0);
    }
}
