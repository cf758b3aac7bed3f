//! Wake-ups: who waits for a job or for the queue is told when something changed, and asks the database again.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use sea_orm::DbBackend;
use tokio::sync::{Notify, watch};

/// Wakes those that wait.
#[derive(Debug)]
pub(crate) struct Hub {
    jobs: Mutex<HashMap<i64, watch::Sender<u64>>>,
    queue: watch::Sender<u64>,
    deadline: Notify,
    /// Other processes on the same database change things without a word; nobody shares a SQLite file.
    look_again: Option<Duration>,
}

/// A wait for the next change of one thing.
#[derive(Debug)]
pub(crate) struct Wait {
    changes: watch::Receiver<u64>,
    look_again: Option<Duration>,
}

impl Hub {
    pub(crate) fn new(backend: DbBackend) -> Self {
        Self {
            jobs: Mutex::default(),
            queue: watch::Sender::new(0),
            deadline: Notify::new(),
            look_again: (backend == DbBackend::Postgres).then_some(Duration::from_secs(1)),
        }
    }

    /// Says that jobs changed, or got new output.
    pub(crate) fn jobs_changed(&self, seqs: impl IntoIterator<Item = i64>) {
        let mut jobs = self.jobs.lock();
        if jobs.is_empty() {
            return;
        }
        for seq in seqs {
            if let Some(sender) = jobs.get(&seq) {
                sender.send_modify(|n| *n += 1);
                if sender.receiver_count() == 0 {
                    jobs.remove(&seq);
                }
            }
        }
    }

    /// Says that jobs were queued.
    pub(crate) fn queue_changed(&self) {
        self.queue.send_modify(|n| *n += 1);
    }

    /// Says that there may be an earlier deadline now.
    pub(crate) fn deadline_changed(&self) {
        self.deadline.notify_one();
    }

    /// Waits until there may be an earlier deadline.
    pub(crate) async fn earlier_deadline(&self) {
        self.deadline.notified().await;
    }

    /// To wait for a job. Make it before the job is read, so that no change falls in between.
    pub(crate) fn job(&self, seq: i64) -> Wait {
        let mut jobs = self.jobs.lock();
        jobs.retain(|_, sender| sender.receiver_count() > 0);
        let sender = jobs.entry(seq).or_insert_with(|| watch::Sender::new(0));
        Wait {
            changes: sender.subscribe(),
            look_again: self.look_again,
        }
    }

    /// To wait for the queue.
    pub(crate) fn queue(&self) -> Wait {
        Wait {
            changes: self.queue.subscribe(),
            look_again: self.look_again,
        }
    }
}

impl Wait {
    /// Waits for the next change, or until it is time to look again anyway.
    pub(crate) async fn changed(&mut self) {
        match self.look_again {
            Some(patience) => drop(tokio::time::timeout(patience, self.next()).await),
            None => self.next().await,
        }
    }

    async fn next(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender is gone: nothing will change any more, and the caller's own limit ends the wait.
            std::future::pending::<()>().await;
        }
    }
}
