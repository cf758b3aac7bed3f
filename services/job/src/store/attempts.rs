//! The table of attempts that have ended; the one that runs is in the job's own row.

use std::collections::BTreeMap;

use granary_core::Result;
use granary_runtime::db::sql::{self, Sql, insert as insert_rows, values};
use sea_orm::ConnectionTrait;

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

impl Ended {
    fn read(row: &mut sql::Row) -> Result<Self> {
        Ok(Self {
            job: row.get()?,
            number: row.get()?,
            worker: row.get()?,
            started: row.get()?,
            finished: row.get()?,
            failure: row.get()?,
            message: row.get()?,
            exit_code: row.get()?,
            peak: row.get()?,
        })
    }

    fn values(&self) -> [sea_orm::Value; 9] {
        values![
            self.job,
            self.number,
            self.worker.as_str(),
            self.started,
            self.finished,
            self.failure,
            self.message.as_str(),
            self.exit_code,
            self.peak,
        ]
    }
}

/// Records attempts.
pub(crate) async fn insert(db: &impl ConnectionTrait, attempts: &[Ended]) -> Result<()> {
    let head = "INSERT INTO attempts (job, number, worker, started, finished, failure, message, exit_code, peak) VALUES ";
    insert_rows(db, head, attempts, Ended::values, "").await
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
        db.get_database_backend(),
        "SELECT job, number, worker, started, finished, failure, message, exit_code, peak FROM attempts WHERE job IN (",
    );
    sql.list(jobs.iter().copied())
        .push(") ORDER BY job, number");
    for ended in sql.all(db, Ended::read).await? {
        found.entry(ended.job).or_default().push(ended);
    }
    Ok(found)
}
