//! What projects may run, and what their attempts took.

use std::collections::{BTreeMap, BTreeSet};

use granary_core::Result;
use granary_runtime::db::sql::{self, Sql, insert as insert_rows, values};
use sea_orm::ConnectionTrait;

/// How much a project may run; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Jobs at the same time.
    pub concurrent: i64,
    /// Seconds of attempts a day.
    pub seconds: i64,
}

/// What an attempt took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub id: String,
    pub project: String,
    pub day: i64,
    pub seconds: i64,
}

/// What a project runs now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// Jobs that workers hold.
    pub jobs: i64,
    /// What their attempts have taken so far, in microseconds.
    pub micros: i64,
}

/// Takes note of the limits of a project.
pub(crate) async fn limit(db: &impl ConnectionTrait, project: &str, limits: Limits) -> Result<()> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "INSERT INTO quotas (project, concurrent, seconds) VALUES ",
    );
    sql.tuple(values![project, limits.concurrent, limits.seconds]);
    sql.push(" ON CONFLICT (project) DO UPDATE SET concurrent = excluded.concurrent, seconds = excluded.seconds");
    sql.run(db).await.map(drop)
}

fn read(row: &mut sql::Row) -> Result<(String, Limits)> {
    let project = row.get()?;
    let (concurrent, seconds) = (row.get()?, row.get()?);
    let limits = Limits {
        concurrent,
        seconds,
    };
    Ok((project, limits))
}

/// The limits of a project as they were noted; none if they never were.
pub(crate) async fn noted(db: &impl ConnectionTrait, project: &str) -> Result<Option<Limits>> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT project, concurrent, seconds FROM quotas WHERE project = ",
    );
    sql.bind(project);
    Ok(sql.first(db, read).await?.map(|(_, limits)| limits))
}

/// The limits of those of some projects that have any.
pub(crate) async fn limited(
    db: &impl ConnectionTrait,
    projects: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Limits>> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT project, concurrent, seconds FROM quotas WHERE (concurrent > 0 OR seconds > 0) AND project IN (",
    );
    sql.list(projects.iter().copied()).push(")");
    Ok(sql.all(db, read).await?.into_iter().collect())
}

/// The limits of those projects that have any and whose jobs wait for a worker.
pub(crate) async fn waiting_limited(db: &impl ConnectionTrait) -> Result<BTreeMap<String, Limits>> {
    let sql = Sql::new(
        db.get_database_backend(),
        "SELECT q.project, q.concurrent, q.seconds FROM quotas q WHERE (q.concurrent > 0 OR q.seconds > 0) \
         AND EXISTS (SELECT 1 FROM jobs j WHERE j.project = q.project AND j.state = 1)",
    );
    Ok(sql.all(db, read).await?.into_iter().collect())
}

/// Up to `limit` projects after another one in which jobs wait for a worker, in order, and their limits as they were noted.
pub(crate) async fn waiting(
    db: &impl ConnectionTrait,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, Limits)>> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT q.project, q.concurrent, q.seconds FROM quotas q WHERE q.project > ",
    );
    sql.bind(after);
    sql.push(" AND EXISTS (SELECT 1 FROM jobs j WHERE j.project = q.project AND j.state = 1) ORDER BY q.project LIMIT ");
    sql.bind(limit);
    sql.all(db, read).await
}

/// What projects run at a time.
pub(crate) async fn running(
    db: &impl ConnectionTrait,
    projects: &BTreeSet<&str>,
    now: i64,
) -> Result<BTreeMap<String, Running>> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT project, COUNT(*), CAST(SUM(",
    );
    sql.bind(now);
    sql.push(" - COALESCE(acquired, ").bind(now);
    sql.push(")) AS BIGINT) FROM jobs WHERE state IN (2, 3, 4, 5) AND project IN (");
    sql.list(projects.iter().copied())
        .push(") GROUP BY project");
    let read = |row: &mut sql::Row| {
        let project = row.get()?;
        let (jobs, micros) = (row.get()?, row.get()?);
        Ok((project, Running { jobs, micros }))
    };
    Ok(sql.all(db, read).await?.into_iter().collect())
}

/// The seconds of attempts of projects that ended on a day.
pub(crate) async fn taken(
    db: &impl ConnectionTrait,
    projects: &BTreeSet<&str>,
    day: i64,
) -> Result<BTreeMap<String, i64>> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT project, seconds FROM usage_days WHERE day = ",
    );
    sql.bind(day).push(" AND project IN (");
    sql.list(projects.iter().copied()).push(")");
    let taken = sql.all(db, |row| Ok((row.get()?, row.get()?))).await?;
    Ok(taken.into_iter().collect())
}

/// Records what attempts took, to be sent.
pub(crate) async fn record(db: &impl ConnectionTrait, records: &[Record]) -> Result<()> {
    let mut days: BTreeMap<(&str, i64), i64> = BTreeMap::new();
    for record in records {
        *days.entry((&record.project, record.day)).or_default() += record.seconds;
    }
    let days: Vec<_> = days.into_iter().collect();
    let head = "INSERT INTO usage_days (project, day, seconds) VALUES ";
    let tail =
        " ON CONFLICT (project, day) DO UPDATE SET seconds = usage_days.seconds + excluded.seconds";
    insert_rows(
        db,
        head,
        &days,
        |((project, day), seconds)| values![*project, *day, *seconds],
        tail,
    )
    .await?;
    let head = "INSERT INTO usage_records (id, project, day, seconds) VALUES ";
    let tuple = |record: &Record| {
        values![
            record.id.as_str(),
            record.project.as_str(),
            record.day,
            record.seconds
        ]
    };
    insert_rows(db, head, records, tuple, " ON CONFLICT DO NOTHING").await
}

/// Up to `limit` records that the ledger may not have.
pub(crate) async fn unsent(db: &impl ConnectionTrait, limit: i64) -> Result<Vec<Record>> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT id, project, day, seconds FROM usage_records ORDER BY id LIMIT ",
    );
    sql.bind(limit);
    let read = |row: &mut sql::Row| {
        Ok(Record {
            id: row.get()?,
            project: row.get()?,
            day: row.get()?,
            seconds: row.get()?,
        })
    };
    sql.all(db, read).await
}

/// Forgets records that the ledger has.
pub(crate) async fn sent(db: &impl ConnectionTrait, records: &[Record]) -> Result<()> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "DELETE FROM usage_records WHERE id IN (",
    );
    sql.list(records.iter().map(|record| record.id.as_str()))
        .push(")");
    sql.run(db).await.map(drop)
}
