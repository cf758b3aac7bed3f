//! Calls counted by project and day, on their way to the ledger in Metadata, and the limit of calls a day.
//!
//! What was counted is sent every two seconds, and the answer says what the ledger has and what the limit is: from then on this process knows
//! it to the call. What other processes count in between is missed until the next answer, so with several of them a project may have some
//! calls more than its limit: of a project with a limit it is asked more often, and the more often the less is left.

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use granary_core::{Error, Result, clock::SharedClock, day::Day, id};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    identity::v1::{
        BatchRecordUsageRequest, Quota, UsageRecord, usage_service_client::UsageServiceClient,
    },
};
use parking_lot::Mutex;
use time::{Duration as Span, OffsetDateTime};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::{Instant, MissedTickBehavior},
};

use super::AT_THE_END;
use crate::{Link, metrics, rpc::answer, task::Tasks};

/// How often counts are sent.
const PERIOD: Duration = Duration::from_secs(2);
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often calls at the end may fail.
const LAST_FAILURES: usize = 2;
/// How many records one call may have.
const MAX_RECORDS: usize = 1000;
/// How many projects are counted at a time. There are as many as somebody has a role in, and those that administrators make up.
const MAX_PROJECTS: usize = 10_000;
/// After how long without a call a project is forgotten.
const REST: Span = Span::minutes(5);
/// The ledger is asked before the period ends if its answer is older than this, or when one in so many of the calls have come that were left
/// then: that is as much as each further process may let through too much.
const STALE: Span = Span::milliseconds(500);
const PART: i64 = 100;
/// How often it is said that calls are not counted.
const SAID: Span = Span::minutes(1);

/// What was counted.
pub(super) struct Counts {
    clock: SharedClock,
    table: Mutex<Table>,
    /// What is being sent; it is the same until it has arrived.
    sending: AsyncMutex<Vec<UsageRecord>>,
    wanted: Notify,
    sent: tokio::sync::watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    projects: HashMap<Box<str>, Project>,
    /// How many times something was taken.
    rounds: u64,
    /// Calls that were not counted, since too many projects are known, and when that was said last.
    uncounted: u64,
    said: Option<OffsetDateTime>,
}

#[derive(Debug)]
struct Project {
    day: Day,
    /// When it was called last.
    called: OffsetDateTime,
    /// The round in which it was sent last.
    round: u64,
    /// Counted today and not yet sent.
    unsent: i64,
    /// Counted today and being sent.
    sending: i64,
    /// Counted today by everybody, as far as it has arrived.
    known: i64,
    /// The most that today may have; 0 is no limit.
    limit: i64,
    /// When the ledger answered last.
    heard: OffsetDateTime,
    /// What is left of days before.
    late: Vec<(Day, i64)>,
    /// Whether a call was refused since it was last asked what the limit is.
    refused: bool,
}

impl Project {
    fn at(now: OffsetDateTime) -> Self {
        Self {
            day: Day::of(now),
            called: now,
            round: 0,
            unsent: 0,
            sending: 0,
            known: 0,
            limit: 0,
            heard: now,
            late: Vec::new(),
            refused: false,
        }
    }

    fn turn_to(&mut self, day: Day) {
        if self.day == day {
            return;
        }
        if self.unsent > 0 {
            self.late.push((self.day, self.unsent));
        }
        // What is being sent is of a day before.
        (self.day, self.unsent, self.sending, self.known) = (day, 0, 0, 0);
    }

    /// Whether the ledger should be asked before the period ends: others may have counted so much that too little is left.
    fn is_due(&self, now: OffsetDateTime) -> bool {
        let left = self.limit - self.known - self.sending;
        let nears = left > 0 && self.unsent.saturating_mul(PART) >= left;
        self.limit > 0 && (nears || now - self.heard > STALE)
    }

    fn is_idle(&self) -> bool {
        self.unsent == 0 && self.sending == 0 && self.late.is_empty() && !self.refused
    }

    /// Whether to remember it: while there is something to send, or it may be called again soon. Of one with a limit it is known all day how
    /// much it had; others give way when there are too many.
    fn is_kept(&self, now: OffsetDateTime, full: bool) -> bool {
        let rests = now - self.called > REST;
        let today = Day::of(now).number() - self.day.number() <= 1;
        !self.is_idle()
            || if self.limit > 0 {
                today && !(full && rests)
            } else {
                !full && !rests
            }
    }
}

impl Counts {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            table: Mutex::default(),
            sending: AsyncMutex::default(),
            wanted: Notify::new(),
            sent: tokio::sync::watch::Sender::new(0),
        }
    }

    /// Counts a call.
    pub(super) fn count(&self, project: &str) {
        self.with(project, |found| {
            found.unsent += 1;
            self.hasten(found);
        });
    }

    fn hasten(&self, found: &Project) {
        if found.is_due(self.clock.now()) {
            self.wanted.notify_one();
        }
    }

    /// Counts a call, unless the project has had all of today's.
    pub(super) fn admit(&self, project: &str) -> Result<()> {
        let limit = self.with(project, |found| {
            let had = found.known + found.sending + found.unsent;
            if found.limit > 0 && had >= found.limit {
                found.refused = true;
                return Some((had, found.limit));
            }
            found.unsent += 1;
            self.hasten(found);
            None
        });
        match limit.flatten() {
            Some((had, limit)) => Err(self.exhausted(project, had, limit)),
            None => Ok(()),
        }
    }

    fn with<T>(&self, project: &str, change: impl FnOnce(&mut Project) -> T) -> Option<T> {
        let now = self.clock.now();
        let mut table = self.table.lock();
        if let Some(found) = table.projects.get_mut(project) {
            found.called = now;
            found.turn_to(Day::of(now));
            return Some(change(found));
        }
        if table.projects.len() >= MAX_PROJECTS {
            table.uncounted += 1;
            return None;
        }
        let mut new = Project::at(now);
        let done = change(&mut new);
        table.projects.insert(project.into(), new);
        // Its limit is not known yet. It is kept while calls come, so that this is once.
        self.wanted.notify_one();
        Some(done)
    }

    /// How many calls were not counted, when it is time to say so.
    fn uncounted(&self) -> Option<u64> {
        let now = self.clock.now();
        let mut table = self.table.lock();
        let silent = table.said.is_some_and(|said| (now - said).abs() < SAID);
        if table.uncounted == 0 || silent {
            return None;
        }
        table.said = Some(now);
        Some(mem::take(&mut table.uncounted))
    }

    fn exhausted(&self, project: &str, had: i64, limit: i64) -> Error {
        metrics::refused("quota");
        let now = self.clock.now();
        let left = Duration::try_from(Day::of(now).end() - now).unwrap_or_default();
        Error::Exhausted {
            reason: format!(
                "the project {project} has had {had} of its {limit} calls of today (max_daily_requests): wait until 00:00 UTC, or have an administrator allow more with `granary project quota set {project} --max-daily-requests N`"
            ),
            retry_after: Some(left),
            quota_of: Some(format!("projects/{project}")),
        }
    }

    /// Sends everything that is counted by now, and does not wait for the end of the period.
    pub(super) async fn flush(&self) {
        let mut sent = self.sent.subscribe();
        // The round that is under way may have begun before; the one after it has not.
        let until = sent.borrow_and_update().saturating_add(2);
        while *sent.borrow_and_update() < until {
            self.wanted.notify_one();
            if sent.changed().await.is_err() {
                return;
            }
        }
    }

    /// What to send: what did not arrive before, or else what was counted since.
    fn take(&self, sending: &mut Vec<UsageRecord>) {
        if !sending.is_empty() {
            return;
        }
        let now = self.clock.now();
        let today = Day::of(now);
        let mut table = self.table.lock();
        table.rounds += 1;
        let round = table.rounds;
        let full = table.projects.len() >= MAX_PROJECTS;
        table.projects.retain(|_, found| found.is_kept(now, full));
        let busy = table.projects.iter_mut().filter(|(_, p)| !p.is_idle());
        let mut busy: Vec<_> = busy.collect();
        // Whoever waited the longest goes first: all come in turn, however many there are.
        busy.sort_unstable_by_key(|(_, found)| found.round);
        for (project, found) in busy {
            found.turn_to(today);
            if sending.len() + found.late.len() >= MAX_RECORDS {
                break;
            }
            let record = |date: Day, requests| UsageRecord {
                id: id::new(""),
                project: format!("projects/{project}"),
                date: date.to_string(),
                requests,
                job_seconds: 0,
            };
            sending.extend(found.late.drain(..).map(|(day, count)| record(day, count)));
            sending.push(record(today, found.unsent));
            found.sending = found.unsent;
            found.unsent = 0;
            found.refused = false;
            found.round = round;
        }
    }

    /// Learns what the ledger has.
    fn arrived(&self, sent: &[UsageRecord], quotas: Vec<Quota>) {
        let now = self.clock.now();
        let today = Day::of(now);
        let projects = &mut self.table.lock().projects;
        for record in sent {
            if let Some(found) = id_of(&record.project).and_then(|id| projects.get_mut(id)) {
                found.sending = 0;
            }
        }
        for quota in quotas {
            let name = quota.name.trim_end_matches("/quota");
            if let Some(found) = id_of(name).and_then(|id| projects.get_mut(id)) {
                found.limit = quota.max_daily_requests;
                found.heard = now;
                // An answer around midnight may be of the day before: then the next one tells.
                if found.day == today
                    && sent
                        .iter()
                        .any(|r| r.project == name && r.date == today.to_string())
                {
                    found.known = quota.used_daily_requests;
                }
            }
        }
    }

    async fn send(&self, metadata: &Link, patience: Duration) -> Sent {
        if let Some(calls) = self.uncounted() {
            tracing::warn!(
                calls,
                "calls were neither counted nor limited, since more than {MAX_PROJECTS} projects are called"
            );
        }
        let mut sending = self.sending.lock().await;
        self.take(&mut sending);
        if sending.is_empty() {
            return Sent::Nothing;
        }
        let error = match ask(metadata, sending.clone(), patience).await {
            Ok(quotas) => {
                self.arrived(&sending, quotas);
                sending.clear();
                return Sent::Some;
            }
            Err(error) => error,
        };
        let again = error.is_system_fault();
        tracing::warn!(%error, records = sending.len(), again, "usage cannot be recorded");
        if !again {
            self.arrived(&sending, Vec::new());
            sending.clear();
        }
        Sent::Failed
    }

    /// Sends what is left at the end: what did not arrive before goes first, then what came since.
    async fn send_rest(&self, metadata: &Link) {
        let until = Instant::now() + AT_THE_END;
        let mut failures = 0;
        while failures < LAST_FAILURES {
            match self
                .send(metadata, until.saturating_duration_since(Instant::now()))
                .await
            {
                Sent::Nothing => return,
                Sent::Some => {}
                Sent::Failed => failures += 1,
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    Some,
    Failed,
}

/// Has records counted; the quotas of their projects.
async fn ask(metadata: &Link, records: Vec<UsageRecord>, patience: Duration) -> Result<Vec<Quota>> {
    let mut client = UsageServiceClient::new(metadata.clone())
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let call = client.batch_record_usage(BatchRecordUsageRequest { records });
    match tokio::time::timeout(patience, call).await {
        Ok(answered) => answer(answered).map(|response| response.quotas),
        Err(_) => Err(Error::DeadlineExceeded {
            reason: "recording usage took too long".into(),
        }),
    }
}

fn id_of(project: &str) -> Option<&str> {
    project.strip_prefix("projects/")
}

/// Starts to send counts.
pub(super) fn start(tasks: &Tasks, counts: Arc<Counts>, metadata: Link) {
    let stop = tasks.stopping();
    tasks.spawn("usage", async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed = false;
        while !stop.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {}
                // While it is away, nobody can make it be asked more often.
                () = counts.wanted.notified(), if !failed => {}
                () = stop.cancelled() => break,
            }
            // A call that is given up is made again with the same records, which count once.
            tokio::select! {
                sent = counts.send(&metadata, PATIENCE) => failed = sent == Sent::Failed,
                () = stop.cancelled() => break,
            }
            counts.sent.send_modify(|sent| *sent += 1);
        }
        counts.send_rest(&metadata).await;
        counts.sent.send_replace(u64::MAX);
    });
}

#[cfg(test)]
mod tests;
