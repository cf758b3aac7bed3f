//! Handing out jobs.

use std::time::Duration;

use granary_core::{Result, clock};
use granary_proto::{
    convert,
    job::v1::{Job, JobState, Lease},
};
use granary_runtime::{
    batch::Batcher,
    db,
    trace::{self, Parent},
};
use prost::Message as _;
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::room::Room;
use crate::{
    core::Core,
    measures,
    store::jobs::{self as store, Fit, Row},
};

/// One answer holds at most so many bytes; who wants more asks again.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Leases jobs to a worker; waits for one if there is none.
pub(crate) async fn acquire(
    core: &Core,
    batcher: &Batcher<Fit, Vec<Lease>>,
    fit: Fit,
    wait: Duration,
) -> Result<Vec<Lease>> {
    let until = tokio::time::Instant::now() + wait;
    let mut queue = core.hub.queue();
    loop {
        let leases = batcher.call(fit.clone()).await?;
        if !leases.is_empty() {
            return Ok(leases);
        }
        tokio::select! {
            () = queue.changed() => {}
            () = tokio::time::sleep_until(until) => return Ok(leases),
            () = core.stopping.cancelled() => return Ok(leases),
        }
    }
}

/// Leases jobs to workers that ask at the same time, in one transaction.
pub(crate) async fn claim(core: &Core, fits: Vec<Fit>) -> Result<Vec<Result<Vec<Lease>>>> {
    let tx = core.db.begin().await?;
    let mut taken = Vec::with_capacity(fits.len());
    let now = core.now();
    let mut room = Room::default();
    for fit in &fits {
        taken.push(one(core, &tx, fit, &mut room, now).await?);
    }
    db::commit(tx).await?;
    let all = || taken.iter().flatten();
    core.hub
        .jobs_changed(all().map(|(row, _)| row.seq).collect::<Vec<_>>());
    for (row, lease) in all() {
        measures::waited(row, now);
        waited(row, lease, now);
    }
    let leases = |taken: Vec<_>| Ok(taken.into_iter().map(|(_, lease)| lease).collect());
    Ok(taken.into_iter().map(leases).collect())
}

async fn one(
    core: &Core,
    tx: &DatabaseTransaction,
    fit: &Fit,
    room: &mut Room,
    now: i64,
) -> Result<Vec<(Row, Lease)>> {
    let expires = now.saturating_add(core.lease_micros());
    let (mut all, mut bytes) = (Vec::new(), 0);
    let mut fit = fit.clone();
    loop {
        let rows = store::lock_next(tx, &fit, room.full(), now, core.lease_micros()).await?;
        let projects = rows.iter().map(|row| row.name.project.as_str());
        room.read(core, tx, projects, now).await?;
        let (mut taken, mut passed_over, mut answer_is_full) = (Vec::new(), false, false);
        for row in rows {
            if !room.has(&row.name.project) {
                passed_over = true;
                continue;
            }
            let lease = lease(core, tx, &row, &fit, (now, expires)).await?;
            bytes += lease.encoded_len();
            answer_is_full = bytes > ANSWER_BYTES && !all.is_empty();
            if answer_is_full {
                break;
            }
            room.take(&row.name.project);
            taken.push(row.seq);
            all.push((row, lease));
        }
        if !taken.is_empty() {
            store::assign(tx, &taken, &fit.worker, now, expires).await?;
        }
        fit.limit -= i64::try_from(taken.len()).unwrap_or(i64::MAX);
        if !passed_over || answer_is_full || fit.limit <= 0 {
            return Ok(all);
        }
        // Behind those of a project that is full there may be others. From the second round on, each fills at least one project, or is the last.
        room.read_waiting(core, tx, now).await?;
    }
}

async fn lease(
    core: &Core,
    tx: &impl ConnectionTrait,
    row: &Row,
    fit: &Fit,
    (now, expires): (i64, i64),
) -> Result<Lease> {
    let definition = core.definitions.get(tx, &row.definition).await?;
    let mut job = Job::decode(row.spec.as_slice())
        .map_err(|error| granary_core::Error::internal("reading a job", error))?;
    job.name = row.name.to_string();
    job.set_state(JobState::Assigned);
    let attempt = i32::try_from(row.attempt + 1).unwrap_or(i32::MAX);
    job.attempts = vec![granary_proto::job::v1::Attempt {
        number: attempt,
        worker: format!("workers/{}", fit.worker),
        start_time: Some(convert::timestamp(clock::from_micros(now))),
        ..Default::default()
    }];
    Ok(Lease {
        job: Some(job),
        entrypoint: Some(definition.entrypoint.clone()),
        lease_number: row.lease + 1,
        attempt,
        expire_time: Some(convert::timestamp(clock::from_micros(expires))),
    })
}

/// Shows in the job's trace how long it waited.
fn waited(row: &Row, lease: &Lease, now: i64) {
    let at = |micros| clock::from_micros(micros).into();
    let Some(job) = &lease.job else { return };
    let Some(parent) = Parent::parse(&job.trace_parent) else {
        return;
    };
    let times = (at(row.queued_since()), at(now));
    let attributes = [("granary.job", job.name.clone())];
    trace::past(Some(&parent), "job queued".into(), times, attributes);
}
