//! Calls counted by project and day, on their way to the ledger in Metadata, and the limit of calls a day.
//!
//! What was counted is sent every two seconds, and the answer says what the ledger has and what the limit is: from then on this process knows
//! it to the call. What other processes count in between is missed until the next answer, so with several of them a project may have some
//! calls more than its limit.

use std::{collections::HashMap, sync::Arc, time::Duration};

use granary_core::{Error, Result, clock::SharedClock, day::Day, id};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    identity::v1::{
        BatchRecordUsageRequest, Quota, UsageRecord, usage_service_client::UsageServiceClient,
    },
};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::MissedTickBehavior,
};

use crate::{Link, rpc::answer, task::Tasks};

/// How often counts are sent.
const PERIOD: Duration = Duration::from_secs(2);
/// How long one call, and the last one at the end, may take.
const PATIENCE: Duration = Duration::from_secs(10);
const LAST_PATIENCE: Duration = Duration::from_secs(4);
/// How many records one call may have.
const MAX_RECORDS: usize = 1000;
/// How many projects are counted at a time. There are as many as somebody has a role in, and those that administrators make up.
const MAX_PROJECTS: usize = 10_000;

/// What was counted.
pub(super) struct Counts {
    clock: SharedClock,
    projects: Mutex<HashMap<Box<str>, Project>>,
    /// What is being sent; it is the same until it has arrived.
    sending: AsyncMutex<Vec<UsageRecord>>,
    wanted: Notify,
    sent: tokio::sync::watch::Sender<u64>,
}

#[derive(Debug)]
struct Project {
    day: Day,
    /// Counted today and not yet sent.
    unsent: i64,
    /// Counted today and being sent.
    sending: i64,
    /// Counted today by everybody, as far as it has arrived.
    known: i64,
    /// The most that today may have; 0 is no limit.
    limit: i64,
    /// What is left of days before.
    late: Vec<(Day, i64)>,
    /// Whether a call was refused since it was last asked what the limit is.
    refused: bool,
}

impl Project {
    fn on(day: Day) -> Self {
        Self {
            day,
            unsent: 0,
            sending: 0,
            known: 0,
            limit: 0,
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

    fn is_idle(&self) -> bool {
        self.unsent == 0 && self.sending == 0 && self.late.is_empty() && !self.refused
    }
}

impl Counts {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            projects: Mutex::default(),
            sending: AsyncMutex::default(),
            wanted: Notify::new(),
            sent: tokio::sync::watch::Sender::new(0),
        }
    }

    /// Counts a call.
    pub(super) fn count(&self, project: &str) {
        self.with(project, |found| found.unsent += 1);
    }

    /// Counts a call, unless the project has had all of today's.
    pub(super) fn admit(&self, project: &str) -> Result<()> {
        let limit = self.with(project, |found| {
            let had = found.known + found.sending + found.unsent;
            if found.limit > 0 && had >= found.limit {
                found.refused = true;
                return Some(found.limit);
            }
            found.unsent += 1;
            None
        });
        match limit.flatten() {
            Some(limit) => Err(self.exhausted(project, limit)),
            None => Ok(()),
        }
    }

    fn with<T>(&self, project: &str, change: impl FnOnce(&mut Project) -> T) -> Option<T> {
        let today = Day::of(self.clock.now());
        let mut projects = self.projects.lock();
        if let Some(found) = projects.get_mut(project) {
            found.turn_to(today);
            return Some(change(found));
        }
        // They are let go once they are sent.
        if projects.len() >= MAX_PROJECTS {
            return None;
        }
        let mut new = Project::on(today);
        let done = change(&mut new);
        projects.insert(project.into(), new);
        // Its limit is not known yet.
        self.wanted.notify_one();
        Some(done)
    }

    fn exhausted(&self, project: &str, limit: i64) -> Error {
        let now = self.clock.now();
        let left = Duration::try_from(Day::of(now).end() - now).unwrap_or_default();
        Error::Exhausted {
            reason: format!(
                "the project {project} has had its {limit} calls of today (max_daily_requests): wait until 00:00 UTC, or have an administrator allow more with `granary project quota set`"
            ),
            retry_after: Some(left),
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
        let today = Day::of(self.clock.now());
        let mut projects = self.projects.lock();
        // Those without a limit have nothing worth remembering.
        let recent = |found: &Project| today.number() - found.day.number() <= 1;
        projects.retain(|_, found| !found.is_idle() || found.limit > 0 && recent(found));
        for (project, found) in projects.iter_mut() {
            if found.is_idle() {
                continue;
            }
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
        }
    }

    /// Learns what the ledger has.
    fn arrived(&self, sent: &[UsageRecord], quotas: Vec<Quota>) {
        let today = Day::of(self.clock.now());
        let mut projects = self.projects.lock();
        for record in sent {
            if let Some(found) = id_of(&record.project).and_then(|id| projects.get_mut(id)) {
                found.sending = 0;
            }
        }
        for quota in quotas {
            let name = quota.name.trim_end_matches("/quota");
            if let Some(found) = id_of(name).and_then(|id| projects.get_mut(id)) {
                found.limit = quota.max_daily_requests;
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

    async fn send(&self, metadata: &Link, patience: Duration) {
        let mut sending = self.sending.lock().await;
        self.take(&mut sending);
        if sending.is_empty() {
            return;
        }
        let mut client = UsageServiceClient::new(metadata.clone())
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let request = BatchRecordUsageRequest {
            records: sending.clone(),
        };
        let error = match tokio::time::timeout(patience, client.batch_record_usage(request)).await {
            Ok(answered) => match answer(answered) {
                Ok(response) => {
                    self.arrived(&sending, response.quotas);
                    sending.clear();
                    return;
                }
                Err(error) => error,
            },
            Err(_) => Error::DeadlineExceeded {
                reason: "recording usage took too long".into(),
            },
        };
        let again = error.is_system_fault();
        tracing::warn!(%error, records = sending.len(), again, "usage cannot be recorded");
        if !again {
            self.arrived(&sending, Vec::new());
            sending.clear();
        }
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
        while !stop.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = counts.wanted.notified() => {}
                () = stop.cancelled() => break,
            }
            counts.send(&metadata, PATIENCE).await;
            counts.sent.send_modify(|sent| *sent += 1);
        }
        // What did not arrive before goes first, then what came since.
        for _ in 0..2 {
            counts.send(&metadata, LAST_PATIENCE).await;
        }
        counts.sent.send_replace(u64::MAX);
    });
}

#[cfg(test)]
mod tests {
    use granary_core::clock::ManualClock;
    use time::{Duration as Span, macros::datetime};

    use super::*;

    fn counts() -> (Arc<ManualClock>, Counts) {
        let clock = ManualClock::new(datetime!(2026-11-21 23:00 UTC));
        (clock.clone(), Counts::new(Arc::new(clock)))
    }

    fn quota(limit: i64, used: i64) -> Vec<Quota> {
        vec![Quota {
            name: "projects/p/quota".into(),
            max_daily_requests: limit,
            used_daily_requests: used,
            ..Quota::default()
        }]
    }

    fn taken(counts: &Counts) -> Vec<UsageRecord> {
        let mut sending = Vec::new();
        counts.take(&mut sending);
        sending
    }

    #[test]
    fn the_limit_counts_what_is_known_what_is_sent_and_what_is_not() {
        let (_, counts) = counts();
        counts.admit("p").unwrap();
        let sent = taken(&counts);
        assert_eq!(sent[0].requests, 1);
        counts.arrived(&sent, quota(10, 6));
        counts.admit("p").unwrap();
        let sent = taken(&counts);
        for _ in 0..3 {
            counts.admit("p").unwrap();
        }
        let error = counts.admit("p").unwrap_err();
        let Error::Exhausted { retry_after, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*retry_after, Some(Duration::from_secs(3600)));
        assert!(error.to_string().contains("10 calls of today"), "{error}");
        counts.arrived(&sent, quota(10, 7));
        assert!(counts.admit("p").is_err());
        // Others are not concerned, and those who are not kept from anything are counted.
        counts.admit("q").unwrap();
        counts.count("p");
        let count = |project| {
            taken(&counts)
                .iter()
                .find(|r| r.project == project)
                .unwrap()
                .requests
        };
        assert_eq!(count("projects/p"), 4);
    }

    #[test]
    fn a_refused_call_asks_for_the_limit_and_a_raised_one_counts_at_once() {
        let (_, counts) = counts();
        counts.admit("p").unwrap();
        counts.arrived(&taken(&counts), quota(1, 1));
        assert!(taken(&counts).is_empty());
        assert!(counts.admit("p").is_err());
        let asked = taken(&counts);
        assert_eq!((asked.len(), asked[0].requests), (1, 0));
        counts.arrived(&asked, quota(2, 1));
        counts.admit("p").unwrap();
    }

    #[test]
    fn a_day_ends_at_midnight_and_takes_its_own_calls_along() {
        let (clock, counts) = counts();
        counts.admit("p").unwrap();
        counts.arrived(&taken(&counts), quota(3, 1));
        counts.admit("p").unwrap();
        counts.admit("p").unwrap();
        assert!(counts.admit("p").is_err());
        clock.advance(Span::hours(2));
        counts.admit("p").unwrap();
        let sent: Vec<_> = taken(&counts)
            .into_iter()
            .map(|r| (r.date, r.requests))
            .collect();
        assert_eq!(
            sent,
            [("2026-11-21".to_owned(), 2), ("2026-11-22".to_owned(), 1)]
        );
    }

    #[test]
    fn projects_that_rest_are_forgotten() {
        let (_, counts) = counts();
        for n in 0..MAX_PROJECTS + 10 {
            counts.admit(&format!("p{n}")).unwrap();
        }
        for _ in 0..10 {
            let sent = taken(&counts);
            assert_eq!(sent.len(), MAX_RECORDS);
            counts.arrived(&sent, Vec::new());
        }
        assert!(taken(&counts).is_empty());
        assert!(counts.projects.lock().is_empty());
    }
}
