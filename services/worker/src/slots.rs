//! What this worker has free for jobs.

use granary_proto::job::v1::Resources;
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
    resources: Resources,
}

impl Slots {
    pub(crate) fn new(slots: usize, resources: Resources) -> Self {
        Self {
            free: Mutex::new(Free {
                slots,
                used: 0,
                resources,
            }),
            returned: Notify::new(),
        }
    }

    /// What is free for one more job, once something is, and whether any job runs.
    pub(crate) async fn free(&self) -> (Resources, bool) {
        loop {
            let returned = self.returned.notified();
            {
                let free = self.free.lock();
                // With less than any job may ask for, there is nothing to ask for.
                if free.slots > 0
                    && free.resources.memory_bytes >= 1024 * 1024
                    && free.resources.cpus > 0.0
                {
                    return (free.resources, free.used > 0);
                }
            }
            returned.await;
        }
    }

    /// Takes what a job needs.
    pub(crate) fn take(&self, need: &Resources) {
        let mut free = self.free.lock();
        free.slots = free.slots.saturating_sub(1);
        free.used += 1;
        free.resources.memory_bytes -= need.memory_bytes;
        free.resources.cpus -= need.cpus;
        free.resources.gpus -= need.gpus;
    }

    /// Gives it back.
    pub(crate) fn give_back(&self, need: &Resources) {
        let mut free = self.free.lock();
        free.slots += 1;
        free.used = free.used.saturating_sub(1);
        free.resources.memory_bytes += need.memory_bytes;
        free.resources.cpus += need.cpus;
        free.resources.gpus += need.gpus;
        drop(free);
        self.returned.notify_one();
    }
}
