//! Wake-ups: who waits for a job or for the queue is told when something changed, and asks the database again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use granary_runtime::{
    db::{Db, Heard, Wake},
    task::Tasks,
};
use parking_lot::Mutex;
use sea_orm::DbBackend;
use tokio::sync::{Notify, watch};

/// Words to other processes.
const JOBS: &str = "jobs";
const QUEUE: &str = "queue";

/// Wakes those that wait, in other processes too.
#[derive(Debug)]
pub(crate) struct Hub {
    here: Arc<Here>,
    wake: Wake,
    /// The word of another process may be lost; and who is passed over, since somebody else looks at the same row, is not told.
    look_again: Option<Duration>,
}

/// Those that wait in this process.
#[derive(Debug)]
struct Here {
    jobs: Mutex<HashMap<i64, watch::Sender<u64>>>,
    queue: watch::Sender<u64>,
    deadline: Notify,
}

/// A wait for the next change of one thing.
#[derive(Debug)]
pub(crate) struct Wait {
    changes: watch::Receiver<u64>,
    look_again: Option<Duration>,
}

impl Hub {
    pub(crate) fn start(db: &Db, tasks: &Tasks) -> Self {
        let here = Arc::new(Here {
            jobs: Mutex::default(),
            queue: watch::Sender::new(0),
            deadline: Notify::new(),
        });
        let told = here.clone();
        let wake = Wake::start(db, "job", tasks, move |heard| told.hear(&heard));
        Self {
            here,
            wake,
            look_again: (db.backend() == DbBackend::Postgres).then_some(Duration::from_secs(5)),
        }
    }

    /// Says that jobs changed, or got new output.
    pub(crate) fn jobs_changed(&self, seqs: impl IntoIterator<Item = i64>) {
        let seqs: Vec<i64> = seqs.into_iter().collect();
        self.here.jobs_changed(&seqs);
        for seq in seqs {
            self.wake.tell(JOBS, Some(seq));
        }
    }

    /// Says that jobs were queued.
    pub(crate) fn queue_changed(&self) {
        self.here.queue_changed();
        self.wake.tell(QUEUE, None);
    }

    /// Says that there may be an earlier deadline now.
    pub(crate) fn deadline_changed(&self) {
        self.here.deadline.notify_one();
    }

    /// Waits until there may be an earlier deadline.
    pub(crate) async fn earlier_deadline(&self) {
        self.here.deadline.notified().await;
    }

    /// To wait for a job. Make it before the job is read, so that no change falls in between.
    pub(crate) fn job(&self, seq: i64) -> Wait {
        let mut jobs = self.here.jobs.lock();
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
            changes: self.here.queue.subscribe(),
            look_again: self.look_again,
        }
    }
}

impl Here {
    fn hear(&self, heard: &Heard) {
        match heard {
            Heard::Changed(topic, seqs) if topic == JOBS && !seqs.is_empty() => {
                self.jobs_changed(seqs);
            }
            Heard::Changed(topic, _) if topic == QUEUE => self.queue_changed(),
            _ => {
                for sender in self.jobs.lock().values() {
                    sender.send_modify(|n| *n += 1);
                }
                self.queue_changed();
            }
        }
    }

    fn jobs_changed(&self, seqs: &[i64]) {
        let mut jobs = self.jobs.lock();
        if jobs.is_empty() {
            return;
        }
        for seq in seqs {
            if let Some(sender) = jobs.get(seq) {
                sender.send_modify(|n| *n += 1);
                if sender.receiver_count() == 0 {
                    jobs.remove(seq);
                }
            }
        }
    }

    fn queue_changed(&self) {
        self.queue.send_modify(|n| *n += 1);
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
