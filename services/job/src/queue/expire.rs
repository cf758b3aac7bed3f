//! Leases that end: the jobs of workers that were not heard of in time, or that have started anew.

use std::{collections::BTreeMap, time::Duration};

use granary_core::{Result, name::JobName};
use granary_runtime::db;
use sea_orm::DatabaseTransaction;

use super::end::{self, End};
use crate::{
    core::{Core, micros},
    measures,
    state::State,
    store::{
        attempts,
        jobs::{self as store, Row},
    },
    usage,
};

const AT_ONCE: i64 = 500;
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Takes the jobs back whose lease has ended.
pub(crate) async fn tick(core: &Core) -> Result<()> {
    loop {
        let now = core.now();
        let tx = core.db.begin().await?;
        let rows = store::lock_expired(&tx, now, AT_ONCE).await?;
        if rows.is_empty() {
            db::commit(tx).await?;
            break;
        }
        give_back(
            core,
            tx,
            rows,
            &End::lost("the worker was not heard of in time", true),
            now,
        )
        .await?;
    }
    if store::any_delayed(core.db.reader()).await? {
        core.hub.queue_changed();
    }
    Ok(())
}

/// Takes back what the earlier incarnation of a worker held, but for the leases that it keeps.
pub(crate) async fn restarted(
    core: &Core,
    worker: &str,
    kept: &BTreeMap<JobName, i64>,
) -> Result<()> {
    let mut after = 0;
    loop {
        let tx = core.db.begin().await?;
        let mut rows = store::lock_held_by(&tx, worker, after, AT_ONCE).await?;
        let Some(last) = rows.last() else {
            return db::commit(tx).await;
        };
        after = last.seq;
        rows.retain(|row| kept.get(&row.name) != Some(&row.lease));
        if rows.is_empty() {
            // Not just dropped: the rows would stay locked until the pool gets round to it.
            db::commit(tx).await?;
            continue;
        }
        give_back(
            core,
            tx,
            rows,
            &End::lost("the worker was restarted", false),
            core.now(),
        )
        .await?;
    }
}

async fn give_back(
    core: &Core,
    tx: DatabaseTransaction,
    mut rows: Vec<Row>,
    end: &End,
    now: i64,
) -> Result<()> {
    let mut ended = Vec::with_capacity(rows.len());
    for row in &mut rows {
        // A late word from the old lease must not be taken for a repeated one.
        row.lease += 1;
        row.worker = row.worker.take().or_else(|| Some(String::new()));
        if let Ok(attempt) = end::apply(row, end.clone(), now) {
            ended.push(attempt);
        }
    }
    let changed: Vec<&Row> = rows.iter().collect();
    store::save(&tx, &changed).await?;
    attempts::insert(&tx, &ended).await?;
    usage::owe(&tx, &rows, &ended).await?;
    db::commit(tx).await?;
    measures::ended(&ended);
    core.hub.jobs_changed(rows.iter().map(|row| row.seq));
    usage::ended(core);
    if rows.iter().any(|row| row.state == State::Queued) {
        core.hub.queue_changed();
        core.hub.deadline_changed();
    }
    tracing::info!(jobs = rows.len(), reason = end.message, "took jobs back");
    Ok(())
}

/// Ticks when the next lease ends. A new lease ends no earlier than a lease from now, so that nobody need say when one was given.
pub(crate) async fn watch(core: &Core) {
    let mut ticked = Ok(());
    loop {
        let now = core.now();
        let next = match ticked {
            Ok(()) => db::in_time(store::next_deadline(core.db.reader(), now)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &next {
            tracing::warn!(%error, "cannot take jobs back whose leases have ended: will try again");
        }
        let failed = next.is_err();
        ticked = Ok(());
        tokio::select! {
            () = tokio::time::sleep(pause(next, now, core.lease)) => {}
            () = core.hub.earlier_deadline(), if !failed => continue,
            () = core.stopping.cancelled() => return,
        }
        ticked = db::in_time(tick(core)).await;
    }
}

/// How long to wait with what is next at a time, or after what has failed.
fn pause(next: Result<Option<i64>>, now: i64, lease: Duration) -> Duration {
    let left = match next {
        Ok(next) => next.map_or(micros(lease), |at| at.saturating_sub(now)),
        // What is due stays due while it cannot be taken back.
        Err(_) => micros(lease / 4),
    };
    let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
    // A clock that stands still must not make this spin.
    left.clamp(SHORTEST_PAUSE, lease.max(SHORTEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use granary_core::Error;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    #[test]
    fn it_wakes_when_the_next_lease_ends_and_at_least_once_a_lease() {
        let pause = |next| pause(Ok(next), 1_000_000, LEASE);
        assert_eq!(pause(Some(3_000_000)), Duration::from_secs(2));
        for (next, expected) in [
            (None, LEASE),
            (Some(i64::MAX), LEASE),
            (Some(1), SHORTEST_PAUSE),
        ] {
            assert_eq!(pause(next), expected, "{next:?}");
        }
    }

    #[test]
    fn after_a_failure_it_waits_however_much_is_due() {
        let error = Error::Unavailable {
            reason: "the disk is full".into(),
            cause: None,
        };
        assert_eq!(pause(Err(error), 0, LEASE), LEASE / 4);
    }
}
