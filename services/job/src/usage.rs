//! What attempts took, on its way to the ledger in Metadata, and how much projects may run, which Metadata knows.
//!
//! Both stand in this service's own database: what is owed to the ledger goes there with the end of the attempt, in one transaction, and is sent
//! until it has arrived; limits hold on while Metadata is away.

use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use granary_core::{Result, clock::from_micros, day::Day, id, name::JobName};
use granary_runtime::db;
use parking_lot::Mutex;
use sea_orm::ConnectionTrait;
use tokio::sync::Notify;

use crate::{
    core::Core,
    metadata::{May, Metadata},
    store::{
        attempts::Ended,
        jobs::Row,
        usage::{self as store, Limits, Record},
    },
};

/// How often limits are asked for of projects whose jobs wait, and how long to wait after a failure.
const PERIOD: Duration = Duration::from_secs(5);
/// How many records are sent, and of how many projects the limits are asked for, at once.
const AT_ONCE: i64 = 500;
const SECOND: i64 = 1_000_000;

/// What the parts of the service tell each other about usage.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Limits as this process last learned them. Another one may have written others since.
    known: Mutex<HashMap<String, Limits>>,
    /// Whether a project was seen to have limits.
    pub limited: AtomicBool,
    /// The day on which it was last looked.
    day: AtomicI64,
    owed: Notify,
}

/// What attempts took: every second that one began. A repeated end of an attempt gives the same record.
fn records<'a>(rows: impl IntoIterator<Item = &'a Row>, ended: &[Ended]) -> Vec<Record> {
    let names: HashMap<i64, &JobName> = rows.into_iter().map(|row| (row.seq, &row.name)).collect();
    let record = |ended: &Ended| {
        let name = names.get(&ended.job)?;
        let micros = ended.finished.saturating_sub(ended.started).max(0);
        let (number, started) = (ended.number.to_string(), ended.started.to_string());
        Some(Record {
            id: id::digest(&["attempt", &name.to_string(), &number, &started]),
            project: name.project.clone(),
            day: Day::of(from_micros(ended.finished)).number(),
            seconds: micros.saturating_add(SECOND - 1) / SECOND,
        })
    };
    let records = ended.iter().filter_map(record);
    records.filter(|record| record.seconds > 0).collect()
}

/// Takes down what attempts took, in the transaction in which they end.
pub(crate) async fn owe<'a>(
    tx: &impl ConnectionTrait,
    rows: impl IntoIterator<Item = &'a Row>,
    ended: &[Ended],
) -> Result<()> {
    store::record(tx, &records(rows, ended)).await
}

/// After attempts have ended: what they took is to be sent, and others of their projects may start.
pub(crate) fn ended(core: &Core) {
    core.usage.owed.notify_one();
    if core.usage.limited.load(Ordering::Relaxed) {
        core.hub.queue_changed();
    }
}

/// Takes note of the limits of a project. What is only remembered is never written over what was learned since.
pub(crate) async fn learn(core: &Core, project: &str, may: May) -> Result<()> {
    if !may.fresh && core.usage.known.lock().contains_key(project) {
        return Ok(());
    }
    let noted = store::noted(core.db.reader(), project).await?;
    note(core, &[(project, noted, may.limits)]).await
}

/// Writes limits that differ from those that were noted, by this process or another one. When this one did not know them, whoever waits for jobs
/// looks again.
async fn note(core: &Core, learned: &[(&str, Option<Limits>, Limits)]) -> Result<()> {
    let differing = learned
        .iter()
        .filter(|(_, noted, limits)| *noted != Some(*limits));
    let differing: Vec<_> = differing.collect();
    if !differing.is_empty() {
        let tx = core.db.begin().await?;
        for (project, _, limits) in differing {
            store::limit(&tx, project, *limits).await?;
        }
        db::commit(tx).await?;
    }
    let mut changed = false;
    if learned
        .iter()
        .any(|(_, _, limits)| *limits != Limits::default())
    {
        core.usage.limited.store(true, Ordering::Relaxed);
    }
    let mut known = core.usage.known.lock();
    for (project, _, limits) in learned {
        changed |= known.insert((*project).to_owned(), *limits) != Some(*limits);
    }
    drop(known);
    if changed {
        core.hub.queue_changed();
    }
    Ok(())
}

/// Asks for the limits of projects whose jobs wait, many at once. On another day whoever waits for jobs looks again.
async fn refresh(core: &Core, metadata: &Metadata) -> Result<()> {
    let today = Day::of(core.clock.now());
    if core.usage.day.swap(today.number(), Ordering::Relaxed) != today.number() {
        core.hub.queue_changed();
    }
    let mut after = String::new();
    loop {
        let waiting = store::waiting(core.db.reader(), &after, AT_ONCE).await?;
        let Some((last, _)) = waiting.last() else {
            return Ok(());
        };
        after.clone_from(last);
        let projects = waiting.iter().map(|(project, _)| project.as_str());
        let limits = metadata.limits(projects, today).await?;
        let learned = waiting.iter().filter_map(|(project, noted)| {
            let limits = limits.get(project)?;
            Some((project.as_str(), Some(*noted), *limits))
        });
        note(core, &learned.collect::<Vec<_>>()).await?;
    }
}

/// Sends what is owed to the ledger.
async fn send(core: &Core, metadata: &Metadata) -> Result<()> {
    loop {
        let records = store::unsent(core.db.reader(), AT_ONCE).await?;
        if records.is_empty() {
            return Ok(());
        }
        metadata.record(&records).await?;
        // If this is not reached, they are sent again, and count once.
        let tx = core.db.begin().await?;
        store::sent(&tx, &records).await?;
        db::commit(tx).await?;
    }
}

/// Sends and asks; neither waits for the other, or fails with it.
pub(crate) async fn tick(core: &Core, metadata: &Metadata) -> Result<()> {
    let (sent, learned) = tokio::join!(send(core, metadata), refresh(core, metadata));
    sent.and(learned)
}

/// Ticks when something is owed, and every now and then.
pub(crate) async fn watch(core: &Core, metadata: &Metadata) {
    let mut ticked = Ok(());
    loop {
        let failed = ticked.is_err();
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = core.usage.owed.notified(), if !failed => {}
            () = core.stopping.cancelled() => return,
        }
        ticked = db::in_time(tick(core, metadata)).await;
        if let Err(error) = &ticked {
            tracing::warn!(%error, "cannot tell what jobs used, or learn what they may: will try again");
        }
    }
}

/// Why a job that waits may not start, although a worker may be free; nothing if it may.
pub(crate) async fn wait_reason(core: &Core, project: &str) -> Result<String> {
    let db = core.db.reader();
    let projects = BTreeSet::from([project]);
    let Some(limits) = store::limited(db, &projects).await?.remove(project) else {
        return Ok(String::new());
    };
    let now = core.now();
    let running = store::running(db, &projects, now).await?;
    let running = running.get(project).copied().unwrap_or_default();
    let today = Day::of(from_micros(now)).number();
    let ended = store::taken(db, &projects, today).await?;
    let taken = ended.get(project).copied().unwrap_or_default() + running.micros / SECOND;
    Ok(match limits {
        Limits { seconds, .. } if seconds > 0 && taken >= seconds => {
            format!(
                "the jobs of its project took {taken} of {seconds} seconds today (max_daily_job_seconds): it can start after 00:00 UTC, or when an administrator allows more with `granary project quota set {project} --max-daily-job-seconds N`"
            )
        }
        Limits { concurrent, .. } if concurrent > 0 && running.jobs >= concurrent => {
            format!(
                "{} of {concurrent} jobs of its project run (max_concurrent_jobs): it can start when one ends, or when an administrator allows more with `granary project quota set {project} --max-concurrent-jobs N`",
                running.jobs
            )
        }
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    fn row() -> Row {
        Row {
            seq: 7,
            name: JobName::new("p", "j").unwrap(),
            definition: String::new(),
            state: State::Succeeded,
            cancel: false,
            lease: 1,
            attempt: 1,
            faults: 0,
            worker: None,
            avoid: None,
            ready: 0,
            expires: None,
            acquired: None,
            started: None,
            finished: None,
            log_end: 0,
            outputs: Vec::new(),
            created: 1,
            spec: Vec::new(),
        }
    }

    fn ended(number: i64, started: i64, finished: i64) -> Ended {
        Ended {
            job: 7,
            number,
            worker: "w".into(),
            started,
            finished,
            failure: 0,
            message: String::new(),
            exit_code: 0,
            peak: 0,
        }
    }

    #[test]
    fn an_attempt_counts_each_second_that_it_began() {
        let seconds = |micros| {
            let records = records([&row()], &[ended(1, 5, 5 + micros)]);
            records.first().map(|record| record.seconds)
        };
        assert_eq!(seconds(1), Some(1));
        assert_eq!(seconds(SECOND), Some(1));
        assert_eq!(seconds(SECOND + 1), Some(2));
        assert_eq!((seconds(0), seconds(-3)), (None, None));
    }

    #[test]
    fn the_same_attempt_is_the_same_record_and_another_is_another() {
        let ids: Vec<_> = [(1, 5), (1, 5), (2, 5), (1, 6)]
            .map(|(number, started)| records([&row()], &[ended(number, started, 9)]).remove(0).id)
            .into();
        assert_eq!(ids[0], ids[1]);
        assert!(ids[0] != ids[2] && ids[0] != ids[3] && ids[2] != ids[3]);
    }

    #[test]
    fn an_attempt_counts_on_the_day_on_which_it_ended() {
        let day = 86_400 * SECOND;
        let records = records([&row()], &[ended(1, day - 1, day)]);
        assert_eq!((records[0].day, records[0].seconds), (1, 1));
    }
}
