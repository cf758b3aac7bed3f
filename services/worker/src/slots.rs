//! What this worker has free for jobs.

use granary_proto::job::v1::Resources;
use granary_runtime::metrics::{gauge, names};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Slots and resources, given out and given back.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Mutex<Free>,
    returned: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Free {
    slots: usize,
    used: usize,
    memory: i64,
    /// Thousandths of processors: fractions that are added and taken away again would not come out even.
    millicpus: u64,
    gpus: i32,
}

impl Free {
    // With less than any job may ask for, there is nothing to ask for.
    fn has_room(&self) -> bool {
        self.slots > 0 && self.memory >= 1024 * 1024 && self.millicpus > 0
    }

    fn resources(&self) -> Resources {
        Resources {
            memory_bytes: self.memory,
            cpus: self.millicpus as f64 / 1000.0,
            gpus: self.gpus,
            timeout: None,
        }
    }
}

fn millicpus(resources: &Resources) -> u64 {
    (resources.cpus * 1000.0).round() as u64
}

impl Slots {
    pub(crate) fn new(slots: usize, resources: Resources) -> Self {
        Self {
            free: Mutex::new(Free {
                slots,
                used: 0,
                memory: resources.memory_bytes,
                millicpus: millicpus(&resources),
                gpus: resources.gpus,
            }),
            returned: Notify::new(),
        }
    }

    /// What is free for one more job, once something is, and whether any job runs.
    pub(crate) async fn free(&self) -> (Resources, bool) {
        loop {
            let returned = self.returned.notified();
            let free = *self.free.lock();
            if free.has_room() {
                return (free.resources(), free.used > 0);
            }
            returned.await;
        }
    }

    /// Tells Prometheus how many there are.
    pub(crate) fn tell(&self) {
        let free = *self.free.lock();
        gauge!(names::WORKER_SLOTS, "state" => "used").set(free.used as f64);
        gauge!(names::WORKER_SLOTS, "state" => "idle").set(free.slots as f64);
    }

    /// Takes what a job needs.
    pub(crate) fn take(&self, need: &Resources) {
        let mut free = self.free.lock();
        free.slots = free.slots.saturating_sub(1);
        free.used += 1;
        free.memory -= need.memory_bytes;
        free.millicpus = free.millicpus.saturating_sub(millicpus(need));
        free.gpus -= need.gpus;
    }

    /// Gives it back.
    pub(crate) fn give_back(&self, need: &Resources) {
        let mut free = self.free.lock();
        free.slots += 1;
        free.used = free.used.saturating_sub(1);
        free.memory += need.memory_bytes;
        free.millicpus += millicpus(need);
        free.gpus += need.gpus;
        drop(free);
        self.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn resources(cpus: f64) -> Resources {
        Resources {
            memory_bytes: 1 << 30,
            cpus,
            gpus: 0,
            timeout: None,
        }
    }

    fn machine(cpus: f64) -> Slots {
        let all = Resources {
            memory_bytes: 64 << 30,
            ..resources(cpus)
        };
        Slots::new(8, all)
    }

    #[tokio::test]
    async fn what_was_taken_comes_back_whole() {
        let slots = machine(1.0);
        let jobs = [resources(0.3), resources(0.1)];
        jobs.iter().for_each(|job| slots.take(job));
        assert_eq!(slots.free().await.0.cpus, 0.6);
        jobs.iter().for_each(|job| slots.give_back(job));
        let (free, busy) = slots.free().await;
        assert_eq!((free.cpus, free.memory_bytes, busy), (1.0, 64 << 30, false));
    }

    #[tokio::test]
    async fn nothing_is_free_once_all_processors_are_taken() {
        let slots = machine(1.0);
        let tenth = resources(0.1);
        (0..7).for_each(|_| slots.take(&tenth));
        slots.take(&resources(0.3));
        assert!(slots.free().now_or_never().is_none());
        slots.give_back(&tenth);
        assert_eq!(slots.free().await.0.cpus, 0.1);
    }
}
