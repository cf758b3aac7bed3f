//! Entries of the audit log on their way to Metadata.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use granary_core::{Error, Result, clock::to_micros, id};
use granary_proto::{
    MAX_MESSAGE_BYTES, convert,
    identity::v1::{
        AuditEntry, AuditVerdict, BatchCreateAuditEntriesRequest,
        audit_service_client::AuditServiceClient,
    },
};
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::AT_THE_END;
use crate::{
    Link,
    auth::{Ended, Principal, Verdict, cut},
    metrics::{self, gauge, names::LEDGER_PENDING},
    rpc::answer,
    task::Tasks,
};

/// How many entries are sent at once, and how long the first of them waits for the others.
const BATCH: usize = 500;
const GATHER: Duration = Duration::from_millis(500);
/// How many entries wait while Metadata is away.
const QUEUE: usize = 10_000;
/// How long to wait after a failure, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Refused calls that are kept, of callers with a valid token and of those without: so many at once, and so many a second. More of them are an
/// attack, and would fill the database.
const REFUSALS: f64 = 1000.0;
const REFUSALS_A_SECOND: f64 = 20.0;
/// The longest subject or issuer.
const MAX_TEXT: usize = 512;

enum Item {
    Entry(Box<AuditEntry>),
    Flush(oneshot::Sender<()>),
}

/// Takes entries, and never waits.
pub(super) struct Log {
    queue: mpsc::Sender<Item>,
    missed: Arc<AtomicU64>,
    pending: Arc<AtomicU64>,
    refusals: Mutex<Refusals>,
}

impl Log {
    pub(super) fn start(tasks: &Tasks, metadata: Link) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let missed = Arc::new(AtomicU64::new(0));
        let pending = Arc::<AtomicU64>::default();
        let told = pending.clone();
        metrics::sample(tasks, move || {
            let pending = told.load(Ordering::Relaxed);
            async move { gauge!(LEDGER_PENDING).set(pending as f64) }
        });
        let sender = Sender {
            waiting,
            missed: missed.clone(),
            pending: pending.clone(),
            stop: tasks.stopping(),
            end: None,
            metadata,
        };
        tasks.spawn("audit log", sender.run());
        Self {
            queue,
            missed,
            pending,
            refusals: Mutex::new(Refusals::none(Instant::now())),
        }
    }

    /// Has a call kept that ended at a time.
    pub(super) fn keep(&self, ended: Ended, now: OffsetDateTime) {
        // What fails costs whoever makes it fail nothing either.
        let fits = ended.verdict == Verdict::Allowed
            || self.refusals.lock().of(&ended).take(Instant::now());
        let sent = fits && {
            let entry = Item::Entry(Box::new(entry(ended, now)));
            self.pending.fetch_add(1, Ordering::Relaxed);
            let sent = self.queue.try_send(entry).is_ok();
            if !sent {
                self.pending.fetch_sub(1, Ordering::Relaxed);
            }
            sent
        };
        if !sent {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was kept so far is stored, or is known not to be.
    pub(super) async fn flush(&self) {
        let (done, waiting) = oneshot::channel();
        if self.queue.send(Item::Flush(done)).await.is_ok() {
            let _ = waiting.await;
        }
    }
}

/// How many more refusals are kept. Who has no token, which is anybody, cannot hide what those with one were refused.
struct Refusals {
    of_callers: Bucket,
    of_strangers: Bucket,
}

impl Refusals {
    fn none(now: Instant) -> Self {
        Self {
            of_callers: Bucket::full(now),
            of_strangers: Bucket::full(now),
        }
    }

    fn of(&mut self, ended: &Ended) -> &mut Bucket {
        if ended.caller.is_some() {
            &mut self.of_callers
        } else {
            &mut self.of_strangers
        }
    }
}

/// What is left of a number of things that comes back with time.
struct Bucket {
    left: f64,
    seen: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self {
            left: REFUSALS,
            seen: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.seen).as_secs_f64();
        self.left = (self.left + passed * REFUSALS_A_SECOND).min(REFUSALS);
        self.seen = now;
        let fits = self.left >= 1.0;
        if fits {
            self.left -= 1.0;
        }
        fits
    }
}

fn entry(ended: Ended, now: OffsetDateTime) -> AuditEntry {
    let text = |text: &str| cut(text, MAX_TEXT).replace('\0', "\u{fffd}");
    let subject = |who: &Option<Principal>| {
        who.as_ref()
            .map(|who| text(&who.subject))
            .unwrap_or_default()
    };
    let verdict = match ended.verdict {
        Verdict::Allowed => AuditVerdict::Allowed,
        Verdict::Denied => AuditVerdict::Denied,
        Verdict::Failed => AuditVerdict::Failed,
    };
    let latency = i64::try_from(ended.latency.as_micros()).unwrap_or(i64::MAX);
    let came = granary_core::clock::from_micros(to_micros(now).saturating_sub(latency));
    AuditEntry {
        id: id::new(""),
        time: Some(convert::timestamp(came)),
        subject: subject(&ended.caller),
        issuer: ended
            .caller
            .as_ref()
            .map(|caller| text(&caller.issuer))
            .unwrap_or_default(),
        on_behalf_of: subject(&ended.on_behalf_of),
        method: ended.method,
        resource: ended.resource,
        item_count: i32::try_from(ended.items).unwrap_or(i32::MAX),
        verdict: verdict.into(),
        code: ended.code as i32,
        latency: Some(convert::wire_duration(ended.latency)),
        request_id: ended.request_id,
        remote_address: ended
            .remote_address
            .map(|address| address.to_string())
            .unwrap_or_default(),
    }
}

/// Sends entries.
struct Sender {
    waiting: mpsc::Receiver<Item>,
    missed: Arc<AtomicU64>,
    pending: Arc<AtomicU64>,
    stop: CancellationToken,
    /// Until when something may be sent, once it is the end.
    end: Option<Instant>,
    metadata: Link,
}

#[derive(Default)]
struct Batch {
    entries: Vec<AuditEntry>,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, item: Item) {
        match item {
            Item::Entry(entry) => self.entries.push(*entry),
            Item::Flush(done) => self.flushed.push(done),
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH || !self.flushed.is_empty()
    }
}

impl Sender {
    async fn run(mut self) {
        while let Some(first) = self.first().await {
            let mut batch = Batch::default();
            batch.add(first);
            self.gather(&mut batch).await;
            self.send(batch).await;
        }
        while let Ok(first) = self.waiting.try_recv() {
            let mut batch = Batch::default();
            batch.add(first);
            while !batch.is_full()
                && let Ok(item) = self.waiting.try_recv()
            {
                batch.add(item);
            }
            self.send(batch).await;
        }
        self.say_what_was_missed();
    }

    async fn first(&mut self) -> Option<Item> {
        tokio::select! {
            item = self.waiting.recv() => item,
            () = self.stop.cancelled() => None,
        }
    }

    async fn gather(&mut self, batch: &mut Batch) {
        let until = Instant::now() + GATHER;
        while !batch.is_full() {
            tokio::select! {
                item = self.waiting.recv() => match item {
                    Some(item) => batch.add(item),
                    None => return,
                },
                () = tokio::time::sleep_until(until) => return,
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// How long the last try may take, at the end of the process.
    fn last_patience(&mut self) -> Duration {
        let end = *self.end.get_or_insert_with(|| Instant::now() + AT_THE_END);
        end.saturating_duration_since(Instant::now())
    }

    /// Sends a batch until it is stored; at the end of the process once.
    async fn send(&mut self, mut batch: Batch) {
        let entries = mem::take(&mut batch.entries);
        let count = entries.len() as u64;
        let request = BatchCreateAuditEntriesRequest { entries };
        let mut pause = FIRST_PAUSE;
        loop {
            if count == 0 {
                break;
            }
            let last = self.stop.is_cancelled();
            let stored = if last {
                let patience = self.last_patience();
                self.store(request.clone(), patience).await
            } else {
                tokio::select! {
                    stored = self.store(request.clone(), PATIENCE) => stored,
                    // Tried again at once: what is stored already is left as it is.
                    () = self.stop.cancelled() => continue,
                }
            };
            let error = match stored {
                Ok(()) => break,
                Err(error) => error,
            };
            let again = !last && error.is_system_fault();
            tracing::warn!(%error, entries = count, again, "audit entries cannot be stored: they are in the log");
            if !again {
                self.missed.fetch_add(count, Ordering::Relaxed);
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.pending.fetch_sub(count, Ordering::Relaxed);
        self.say_what_was_missed();
        for done in batch.flushed {
            let _ = done.send(());
        }
    }

    async fn store(
        &self,
        request: BatchCreateAuditEntriesRequest,
        patience: Duration,
    ) -> Result<()> {
        let mut client = AuditServiceClient::new(self.metadata.clone())
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let call = client.batch_create_audit_entries(request);
        match tokio::time::timeout(patience, call).await {
            Ok(answered) => answer(answered).map(drop),
            Err(_) => Err(Error::DeadlineExceeded {
                reason: "storing audit entries took too long".into(),
            }),
        }
    }

    fn say_what_was_missed(&self) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tracing::warn!(
                missed,
                "audit entries were not stored, since too many came or Metadata was away: they are in the log only"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_cut_off_and_goes_on_later() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let kept = (0..5000).filter(|_| bucket.take(start)).count();
        assert_eq!(kept, 1000);
        assert!(!bucket.take(start + Duration::from_millis(10)));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), 20);
        let much_later = start + Duration::from_secs(10_000);
        assert_eq!((0..5000).filter(|_| bucket.take(much_later)).count(), 1000);
    }
}
