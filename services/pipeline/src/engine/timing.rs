//! When the steps of a run worked: they do so asset by asset, on many threads, and each is shown as one span of the session's trace.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use granary_runtime::trace;

/// When one step worked, if that is wanted.
#[derive(Debug)]
pub(crate) struct Timing {
    /// None if nothing is measured: reading clocks for each asset is not free.
    since: Option<(SystemTime, Instant)>,
    /// In nanoseconds after `since`.
    begun: AtomicU64,
    ended: AtomicU64,
    busy: AtomicU64,
    times: AtomicI64,
}

impl Timing {
    /// Of a step that has not worked yet; measured if spans are exported.
    pub(crate) fn new() -> Self {
        Self::measured(trace::is_on())
    }

    fn measured(on: bool) -> Self {
        Self {
            since: on.then(|| (SystemTime::now(), Instant::now())),
            begun: AtomicU64::new(u64::MAX),
            ended: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            times: AtomicI64::new(0),
        }
    }

    /// Does a piece of the step's work.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = self.elapsed();
        let result = work();
        self.note(begun, 1);
        result
    }

    /// The same for work that waits, on so many assets.
    pub(crate) async fn time_all<F: Future>(&self, assets: usize, work: F) -> F::Output {
        let begun = self.elapsed();
        let result = work.await;
        self.note(begun, i64::try_from(assets).unwrap_or(i64::MAX));
        result
    }

    fn elapsed(&self) -> Option<u64> {
        let (_, since) = self.since?;
        u64::try_from(since.elapsed().as_nanos()).ok()
    }

    fn note(&self, begun: Option<u64>, times: i64) {
        if let (Some(begun), Some(ended)) = (begun, self.elapsed()) {
            self.begun.fetch_min(begun, Relaxed);
            self.ended.fetch_max(ended, Relaxed);
            self.busy.fetch_add(ended.saturating_sub(begun), Relaxed);
            self.times.fetch_add(times, Relaxed);
        }
    }

    /// Exports its span: from the first piece of work to the last. What did not work has none.
    pub(crate) fn export(&self, step: &str, run: String) {
        let times = self.times.load(Relaxed);
        let Some((since, _)) = self.since.filter(|_| times > 0) else {
            return;
        };
        let at = |nanos: &AtomicU64| since + Duration::from_nanos(nanos.load(Relaxed));
        let busy = Duration::from_nanos(self.busy.load(Relaxed));
        trace::past(
            None,
            format!("step {step}"),
            (at(&self.begun), at(&self.ended)),
            [
                ("granary.run", run),
                ("granary.step", step.to_owned()),
                ("granary.assets", times.to_string()),
                ("granary.busy_seconds", format!("{:.6}", busy.as_secs_f64())),
            ],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_lasts_from_its_first_asset_to_its_last() {
        let timing = Timing::measured(true);
        assert_eq!([timing.time(|| 1), timing.time(|| 2)], [1, 2]);
        let (begun, ended) = (timing.begun.load(Relaxed), timing.ended.load(Relaxed));
        assert!(begun <= ended && timing.busy.load(Relaxed) <= ended - begun);
        assert_eq!(timing.times.load(Relaxed), 2);
    }

    #[test]
    fn nothing_is_measured_for_nobody() {
        let timing = Timing::measured(false);
        timing.time(|| ());
        assert_eq!(timing.times.load(Relaxed), 0);
    }
}
