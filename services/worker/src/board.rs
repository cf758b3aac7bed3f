//! The attempts that this worker holds, as the tasks that run them and the task that reports them share it.

use std::{collections::BTreeMap, sync::Arc};

use granary_proto::job::v1::{JobReport, JobState};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The most output in one report, as the service takes it.
const MAX_PIECE: usize = 256 * 1024;
/// How much output waits to be reported, before the program has to wait.
const MAX_PENDING: usize = 1024 * 1024;

/// Why an attempt is stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody cancelled the job.
    Cancelled,
    /// The job belongs to somebody else now.
    Lost,
    /// The worker stops.
    Worker,
}

/// One attempt.
#[derive(Debug)]
pub struct Held {
    /// Its job.
    pub job: String,
    /// The lease's number.
    pub lease: i64,
    /// Cancelled when the attempt is to be stopped.
    pub stop: CancellationToken,
    inner: Mutex<Inner>,
    /// Wakes who waits for output to be taken.
    taken: Notify,
    activity: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    state: JobState,
    why: Option<Why>,
    /// Where `pending` begins in the attempt's log.
    offset: i64,
    pending: Vec<u8>,
}

/// All attempts.
#[derive(Debug, Default)]
pub struct Board {
    held: Mutex<BTreeMap<String, Arc<Held>>>,
    activity: Arc<Notify>,
}

impl Board {
    /// Begins to hold an attempt.
    pub fn hold(&self, job: &str, lease: i64) -> Arc<Held> {
        self.hold_in(job, lease, JobState::Preparing)
    }

    /// The same in a state; without one, reports only renew the lease, and somebody else says how far it is.
    pub fn hold_in(&self, job: &str, lease: i64, state: JobState) -> Arc<Held> {
        let held = Arc::new(Held {
            job: job.to_owned(),
            lease,
            stop: CancellationToken::new(),
            inner: Mutex::new(Inner {
                state,
                why: None,
                offset: 0,
                pending: Vec::new(),
            }),
            taken: Notify::new(),
            activity: self.activity.clone(),
        });
        self.held.lock().insert(job.to_owned(), held.clone());
        self.activity.notify_one();
        held
    }

    /// Ends holding it.
    pub fn release(&self, held: &Held) {
        let mut all = self.held.lock();
        // The same job may have come back in between, with another lease.
        if all
            .get(&held.job)
            .is_some_and(|there| there.lease == held.lease)
        {
            all.remove(&held.job);
        }
    }

    /// All of them, in an order that does not change.
    pub fn all(&self) -> Vec<Arc<Held>> {
        self.held.lock().values().cloned().collect()
    }

    /// Waits until there is something new to report.
    pub async fn activity(&self) {
        self.activity.notified().await;
    }
}

impl Held {
    /// Says how far the attempt is.
    pub fn progress(&self, state: JobState) {
        self.inner.lock().state = state;
        self.activity.notify_one();
    }

    /// Adds output; waits while too much of it waits.
    pub async fn write(&self, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() && !self.is_lost() {
            let taken = self.taken.notified();
            let room = {
                let mut inner = self.inner.lock();
                let room = MAX_PENDING
                    .saturating_sub(inner.pending.len())
                    .min(rest.len());
                let (now, later) = rest.split_at(room);
                inner.pending.extend_from_slice(now);
                rest = later;
                room
            };
            if room > 0 {
                self.activity.notify_one();
            } else {
                tokio::select! {
                    () = taken => {}
                    () = self.stop.cancelled() => return,
                }
            }
        }
    }

    /// Waits until all output is taken, or until it no longer matters.
    pub async fn flushed(&self) {
        loop {
            let taken = self.taken.notified();
            if self.inner.lock().pending.is_empty() || self.is_lost() {
                return;
            }
            taken.await;
        }
    }

    /// Why it is stopped, if it is.
    pub fn why(&self) -> Option<Why> {
        self.inner.lock().why
    }

    fn is_lost(&self) -> bool {
        matches!(self.why(), Some(Why::Lost))
    }

    /// Stops it; the first reason counts, but for a lost lease, which goes before all others.
    pub fn stop(&self, why: Why) {
        {
            let mut inner = self.inner.lock();
            if inner.why.is_none() || why == Why::Lost {
                inner.why = Some(why);
            }
        }
        self.stop.cancel();
        self.taken.notify_waiters();
    }

    /// What there is to report now, with at most `room` bytes of output.
    pub fn report(&self, room: usize) -> JobReport {
        let inner = self.inner.lock();
        let log_data = inner
            .pending
            .get(..inner.pending.len().min(room).min(MAX_PIECE))
            .unwrap_or_default()
            .to_vec();
        JobReport {
            job: self.job.clone(),
            lease_number: self.lease,
            state: inner.state.into(),
            log_offset: inner.offset,
            log_data,
        }
    }

    /// Drops the output that a report brought.
    pub fn taken(&self, report: &JobReport) {
        let mut inner = self.inner.lock();
        let length = report.log_data.len().min(inner.pending.len());
        inner.pending.drain(..length);
        inner.offset += i64::try_from(length).unwrap_or_default();
        let more = !inner.pending.is_empty();
        drop(inner);
        self.taken.notify_waiters();
        if more {
            self.activity.notify_one();
        }
    }

    /// Whether so much waits that it should go at once.
    pub fn is_pressing(&self) -> bool {
        self.inner.lock().pending.len() >= MAX_PIECE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_waits_for_room_and_is_reported_once() {
        let board = Board::default();
        let held = board.hold("j", 1);
        let all: Vec<u8> = (0..3 * MAX_PENDING)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect();
        let writer = async {
            held.write(&all).await;
            held.flushed().await;
        };
        let mut seen: Vec<u8> = Vec::new();
        let reader = async {
            while seen.len() < all.len() {
                let report = held.report(usize::MAX);
                assert!(
                    held.inner.lock().pending.len() <= MAX_PENDING
                        && report.log_data.len() <= MAX_PIECE
                );
                assert_eq!(usize::try_from(report.log_offset).unwrap(), seen.len());
                seen.extend(&report.log_data);
                held.taken(&report);
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(writer, reader);
        assert!(seen == all);
    }

    #[tokio::test]
    async fn a_lost_lease_ends_all_waiting() {
        let board = Board::default();
        let held = board.hold("j", 1);
        held.stop(Why::Cancelled);
        held.stop(Why::Lost);
        assert_eq!(held.why(), Some(Why::Lost));
        held.write(&vec![0; 3 * MAX_PENDING]).await;
        held.flushed().await;
        let again = board.hold("j", 2);
        board.release(&held);
        assert_eq!(board.all().len(), 1, "the new lease stays");
        board.release(&again);
        assert!(board.all().is_empty());
    }
}
