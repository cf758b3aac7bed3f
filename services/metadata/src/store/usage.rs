//! What projects hold, use and may.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use granary_core::{Result, day::Day};
use granary_runtime::db::sql::{Row, Sql, insert, values};
use sea_orm::ConnectionTrait;

/// The limits of a project; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub bytes: i64,
    pub objects: i64,
    pub daily_requests: i64,
    pub daily_job_seconds: i64,
    pub concurrent_jobs: i64,
}

/// What a project holds, and its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub bytes: i64,
    pub objects: i64,
    pub limits: Limits,
}

/// What a project used on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub bytes: i64,
    pub objects: i64,
    pub requests: i64,
    pub job_seconds: i64,
}

impl Used {
    /// Adds what else was used.
    pub(crate) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.objects += other.objects;
        self.requests += other.requests;
        self.job_seconds += other.job_seconds;
    }
}

const ACCOUNT: &str = "SELECT project, bytes, objects, max_bytes, max_objects, max_daily_requests, max_daily_job_seconds, max_concurrent_jobs \
     FROM accounts WHERE project IN (";

fn read(row: &mut Row) -> Result<(String, Account)> {
    Ok((
        row.get()?,
        Account {
            bytes: row.get()?,
            objects: row.get()?,
            limits: Limits {
                bytes: row.get()?,
                objects: row.get()?,
                daily_requests: row.get()?,
                daily_job_seconds: row.get()?,
                concurrent_jobs: row.get()?,
            },
        },
    ))
}

/// The accounts of projects; a project that never held anything may have none.
pub(crate) async fn accounts(
    on: &impl ConnectionTrait,
    projects: &BTreeSet<&str>,
) -> Result<HashMap<String, Account>> {
    select(on, projects, false).await
}

/// Locks the accounts of projects, which exist, and makes those that are missing.
pub(crate) async fn lock(
    on: &impl ConnectionTrait,
    projects: &BTreeSet<&str>,
) -> Result<HashMap<String, Account>> {
    let found = select(on, projects, true).await?;
    let missing = projects
        .iter()
        .filter(|project| !found.contains_key(**project));
    let missing: Vec<_> = missing.copied().collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let head = "INSERT INTO accounts (project) VALUES ";
    insert(
        on,
        head,
        &missing,
        |project| values![*project],
        " ON CONFLICT DO NOTHING",
    )
    .await?;
    select(on, projects, true).await
}

/// The projects that hold the most, with what they hold.
pub(crate) async fn largest(
    on: &impl ConnectionTrait,
    limit: u32,
) -> Result<Vec<(String, i64, i64)>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT project, bytes, objects FROM accounts ORDER BY bytes DESC, project LIMIT ",
    );
    sql.bind(i64::from(limit));
    sql.all(on, |row| Ok((row.get()?, row.get()?, row.get()?)))
        .await
}

async fn select(
    on: &impl ConnectionTrait,
    projects: &BTreeSet<&str>,
    lock: bool,
) -> Result<HashMap<String, Account>> {
    if projects.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new(on.get_database_backend(), ACCOUNT);
    sql.list(projects.iter().copied())
        .push(") ORDER BY project");
    if lock {
        sql.lock(" FOR UPDATE");
    }
    Ok(sql.all(on, read).await?.into_iter().collect())
}

/// Changes the limits of a project, whose account is locked.
pub(crate) async fn limit(on: &impl ConnectionTrait, project: &str, limits: Limits) -> Result<()> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "UPDATE accounts SET max_bytes = ",
    );
    sql.bind(limits.bytes);
    sql.push(", max_objects = ").bind(limits.objects);
    sql.push(", max_daily_requests = ")
        .bind(limits.daily_requests);
    sql.push(", max_daily_job_seconds = ")
        .bind(limits.daily_job_seconds);
    sql.push(", max_concurrent_jobs = ")
        .bind(limits.concurrent_jobs);
    sql.push(" WHERE project = ").bind(project);
    sql.run(on).await.map(drop)
}

/// Adds to what projects hold, whose accounts are locked, and to what they added on this day.
pub(crate) async fn hold(
    on: &impl ConnectionTrait,
    day: Day,
    added: &BTreeMap<String, Used>,
) -> Result<()> {
    let changed = |used: &&Used| used.bytes != 0 || used.objects != 0;
    let mut days = BTreeMap::new();
    for (project, used) in added.iter().filter(|(_, used)| changed(used)) {
        let mut sql = Sql::new(
            on.get_database_backend(),
            "UPDATE accounts SET bytes = bytes + ",
        );
        sql.bind(used.bytes);
        sql.push(", objects = objects + ").bind(used.objects);
        sql.push(" WHERE project = ").bind(project.as_str());
        sql.run(on).await?;
        days.insert((project.clone(), day.number()), *used);
    }
    add(on, &days).await
}

/// Adds to what projects used on days.
pub(crate) async fn add(
    on: &impl ConnectionTrait,
    used: &BTreeMap<(String, i64), Used>,
) -> Result<()> {
    // In order, so that two who add to the same days do not wait for each other.
    let rows: Vec<_> = used.iter().collect();
    let head = "INSERT INTO usage_days (project, day, added_bytes, added_objects, requests, job_seconds) VALUES ";
    let tail = " ON CONFLICT (project, day) DO UPDATE SET added_bytes = usage_days.added_bytes + excluded.added_bytes, \
         added_objects = usage_days.added_objects + excluded.added_objects, requests = usage_days.requests + excluded.requests, \
         job_seconds = usage_days.job_seconds + excluded.job_seconds";
    let tuple = |((project, day), used): &(&(String, i64), &Used)| {
        values![
            project.as_str(),
            *day,
            used.bytes,
            used.objects,
            used.requests,
            used.job_seconds
        ]
    };
    insert(on, head, &rows, tuple, tail).await
}

fn used(row: &mut Row) -> Result<Used> {
    Ok(Used {
        bytes: row.get()?,
        objects: row.get()?,
        requests: row.get()?,
        job_seconds: row.get()?,
    })
}

/// What a project used on the days from `first` to `last`, in order.
pub(crate) async fn days(
    on: &impl ConnectionTrait,
    project: &str,
    first: Day,
    last: Day,
) -> Result<Vec<(Day, Used)>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT day, added_bytes, added_objects, requests, job_seconds FROM usage_days WHERE project = ",
    );
    sql.bind(project);
    sql.push(" AND day >= ").bind(first.number());
    sql.push(" AND day <= ")
        .bind(last.number())
        .push(" ORDER BY day");
    sql.all(on, |row| Ok((Day::from_number(row.get()?), used(row)?)))
        .await
}

/// What projects used on one day; those that used nothing are missing.
pub(crate) async fn day(
    on: &impl ConnectionTrait,
    projects: &BTreeSet<&str>,
    day: Day,
) -> Result<HashMap<String, Used>> {
    if projects.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT project, added_bytes, added_objects, requests, job_seconds FROM usage_days WHERE day = ",
    );
    sql.bind(day.number()).push(" AND project IN (");
    sql.list(projects.iter().copied()).push(")");
    let read = |row: &mut Row| Ok((row.get()?, used(row)?));
    Ok(sql.all(on, read).await?.into_iter().collect())
}

/// The bytes and assets that a project held when a day began.
pub(crate) async fn held_before(
    on: &impl ConnectionTrait,
    project: &str,
    day: Day,
) -> Result<(i64, i64)> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT CAST(COALESCE(SUM(added_bytes), 0) AS BIGINT), CAST(COALESCE(SUM(added_objects), 0) AS BIGINT) FROM usage_days \
         WHERE project = ",
    );
    sql.bind(project).push(" AND day < ").bind(day.number());
    let held = sql.first(on, |row| Ok((row.get()?, row.get()?))).await?;
    Ok(held.unwrap_or_default())
}

/// Those of some projects that exist.
pub(crate) async fn existing(
    on: &impl ConnectionTrait,
    projects: &BTreeSet<&str>,
) -> Result<HashSet<String>> {
    if projects.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT project FROM projects WHERE project IN (",
    );
    sql.list(projects.iter().copied()).push(")");
    Ok(sql.all(on, Row::get).await?.into_iter().collect())
}

/// Takes note of records, which are forgotten at a time each; those that were not there yet.
pub(crate) async fn note_records(
    on: &impl ConnectionTrait,
    records: &BTreeMap<&str, i64>,
) -> Result<HashSet<String>> {
    if records.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = Sql::new(
        on.get_database_backend(),
        "INSERT INTO usage_records (id, expires) VALUES ",
    );
    sql.tuples(records, |(id, expires)| values![*id, *expires])
        .push(" ON CONFLICT DO NOTHING RETURNING id");
    Ok(sql.all(on, Row::get).await?.into_iter().collect())
}

/// Forgets up to `limit` records whose time has come, and says how many there were.
pub(crate) async fn forget_records(on: &impl ConnectionTrait, now: i64, limit: u32) -> Result<u64> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "DELETE FROM usage_records WHERE id IN (SELECT id FROM usage_records WHERE expires < ",
    );
    sql.bind(now)
        .push(" ORDER BY expires LIMIT ")
        .bind(i64::from(limit))
        .push(")");
    sql.run(on).await
}
