//! The table of attempts that have ended; the one that runs is in the job's own row.

use std::collections::BTreeMap;

use granary_core::Result;
use granary_runtime::db::MAX_VARIABLES;
use sea_orm::ConnectionTrait;

use super::{Sql, get};

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub job: i64,
    pub number: i64,
    pub worker: String,
    pub started: i64,
    pub finished: i64,
    pub failure: i64,
    pub message: String,
    pub exit_code: i64,
    pub peak: i64,
}

/// Records attempts.
pub(crate) async fn insert(db: &impl ConnectionTrait, attempts: &[Ended]) -> Result<()> {
    for chunk in attempts.chunks(MAX_VARIABLES / 9) {
        let mut sql = Sql::new(
            "INSERT INTO attempts (job, number, worker, started, finished, failure, message, exit_code, peak) VALUES ",
        );
        sql.rows(chunk.iter().map(|a| {
            vec![
                a.job.into(),
                a.number.into(),
                a.worker.clone().into(),
                a.started.into(),
                a.finished.into(),
                a.failure.into(),
                a.message.clone().into(),
                a.exit_code.into(),
                a.peak.into(),
            ]
        }));
        sql.execute(db).await?;
    }
    Ok(())
}

/// The attempts of jobs, in order.
pub(crate) async fn of(
    db: &impl ConnectionTrait,
    jobs: &[i64],
) -> Result<BTreeMap<i64, Vec<Ended>>> {
    let mut found: BTreeMap<i64, Vec<Ended>> = BTreeMap::new();
    if jobs.is_empty() {
        return Ok(found);
    }
    let mut sql = Sql::new(
        "SELECT job, number, worker, started, finished, failure, message, exit_code, peak FROM attempts WHERE job IN (",
    );
    sql.list(jobs.iter().map(|job| (*job).into()))
        .push(") ORDER BY job, number");
    for row in sql.all(db).await? {
        let ended = Ended {
            job: get(&row, "job")?,
            number: get(&row, "number")?,
            worker: get(&row, "worker")?,
            started: get(&row, "started")?,
            finished: get(&row, "finished")?,
            failure: get(&row, "failure")?,
            message: get(&row, "message")?,
            exit_code: get(&row, "exit_code")?,
            peak: get(&row, "peak")?,
        };
        found.entry(ended.job).or_default().push(ended);
    }
    Ok(found)
}
