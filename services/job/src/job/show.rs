//! Jobs as callers see them.

use granary_core::{Error, Result, clock};
use granary_proto::{
    convert,
    job::v1::{Attempt, Job, JobState},
};
use prost::Message as _;
use sea_orm::ConnectionTrait;

use crate::store::{
    attempts::{self, Ended},
    jobs::Row,
};

/// Jobs with their attempts.
pub(crate) async fn jobs(db: &impl ConnectionTrait, rows: &[Row]) -> Result<Vec<Job>> {
    let tried: Vec<i64> = rows
        .iter()
        .filter(|row| row.attempt > 0)
        .map(|row| row.seq)
        .collect();
    let mut attempts = attempts::of(db, &tried).await?;
    rows.iter()
        .map(|row| job(row, attempts.remove(&row.seq).unwrap_or_default()))
        .collect()
}

/// One job with its attempts.
pub(crate) async fn one(db: &impl ConnectionTrait, row: Row) -> Result<Job> {
    let shown = jobs(db, std::slice::from_ref(&row)).await?;
    shown
        .into_iter()
        .next()
        .ok_or_else(|| Error::not_found(&row.name))
}

fn job(row: &Row, ended: Vec<Ended>) -> Result<Job> {
    let broken = |error| Error::internal("reading a job", error);
    let mut job = Job::decode(row.spec.as_slice()).map_err(broken)?;
    job.outputs = Job::decode(row.outputs.as_slice()).map_err(broken)?.outputs;
    job.name = row.name.to_string();
    job.set_state(JobState::from(row.state));
    // The attempts are read after the row: one that has ended since is still shown as the row has it.
    let known = if row.state.is_held() {
        row.attempt - 1
    } else {
        row.attempt
    };
    job.attempts = ended
        .into_iter()
        .filter(|ended| ended.number <= known)
        .map(attempt)
        .collect();
    if row.state.is_held() {
        job.attempts.push(Attempt {
            number: small(row.attempt),
            worker: worker_name(row.worker.as_deref().unwrap_or_default()),
            start_time: row.acquired.map(time),
            ..Attempt::default()
        });
    }
    job.create_time = Some(time(row.created));
    job.start_time = row.started.map(time);
    job.finish_time = row.finished.map(time);
    Ok(job)
}

fn attempt(ended: Ended) -> Attempt {
    Attempt {
        number: small(ended.number),
        worker: worker_name(&ended.worker),
        start_time: Some(time(ended.started)),
        finish_time: Some(time(ended.finished)),
        failure: small(ended.failure),
        message: ended.message,
        exit_code: small(ended.exit_code),
        peak_memory_bytes: ended.peak,
    }
}

fn worker_name(id: &str) -> String {
    format!("workers/{id}")
}

fn small(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn time(micros: i64) -> prost_types::Timestamp {
    convert::timestamp(clock::from_micros(micros))
}
