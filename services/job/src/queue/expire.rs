//! Leases that end: the jobs of workers that were not heard of in time, or that have started anew.

use std::time::Duration;

use granary_core::Result;
use granary_runtime::db;
use sea_orm::DatabaseTransaction;

use super::end::{self, End};
use crate::{
    core::{Core, micros},
    state::State,
    store::{
        attempts,
        jobs::{self as store, Row},
        workers,
    },
};

const AT_ONCE: i64 = 500;

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

/// Notes a worker, and takes back what its earlier incarnation held.
pub(crate) async fn restarted(core: &Core, worker: &workers::Row) -> Result<()> {
    let tx = core.db.begin().await?;
    workers::put(&tx, worker).await?;
    db::commit(tx).await?;
    loop {
        let tx = core.db.begin().await?;
        let rows = store::lock_held_by(&tx, &worker.name, AT_ONCE).await?;
        if rows.is_empty() {
            return db::commit(tx).await;
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
    db::commit(tx).await?;
    core.hub.jobs_changed(rows.iter().map(|row| row.seq));
    if rows.iter().any(|row| row.state == State::Queued) {
        core.hub.queue_changed();
        core.hub.deadline_changed();
    }
    tracing::info!(jobs = rows.len(), reason = end.message, "took jobs back");
    Ok(())
}

/// Ticks when the next lease ends. A new lease ends no earlier than a lease from now, so that nobody need say when one was given.
pub(crate) async fn watch(core: &Core) {
    loop {
        let pause = match until_next(core).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "cannot look for leases that end");
                core.lease / 4
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = core.hub.earlier_deadline() => continue,
            () = core.stopping.cancelled() => return,
        }
        if let Err(error) = tick(core).await {
            tracing::warn!(%error, "cannot take jobs back");
        }
    }
}

async fn until_next(core: &Core) -> Result<Duration> {
    let now = core.now();
    let next = store::next_deadline(core.db.reader(), now).await?;
    let left = next.map_or(micros(core.lease), |at| {
        at.saturating_sub(now).clamp(0, micros(core.lease))
    });
    // A clock that stands still must not make this spin.
    Ok(Duration::from_micros(u64::try_from(left).unwrap_or(0)).max(Duration::from_millis(10)))
}
