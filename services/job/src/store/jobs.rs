//! The table of jobs.

use std::collections::{BTreeMap, BTreeSet};

use granary_core::{Result, name::JobName};
use granary_runtime::db::MAX_VARIABLES;
use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::{Sql, get, locking};
use crate::state::State;

/// What of a job changes while it lives, and what is needed to change it. Times are in microseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub seq: i64,
    pub name: JobName,
    pub definition: String,
    pub state: State,
    /// Whether somebody wants it to end.
    pub cancel: bool,
    /// The number of the newest lease.
    pub lease: i64,
    /// The number of the newest attempt.
    pub attempt: i64,
    /// How many attempts ended by a fault that was not the program's.
    pub faults: i64,
    pub worker: Option<String>,
    /// The worker that lost it last: another one is preferred.
    pub avoid: Option<String>,
    /// Not before this time.
    pub ready: i64,
    pub expires: Option<i64>,
    /// When the newest attempt began.
    pub acquired: Option<i64>,
    pub started: Option<i64>,
    pub finished: Option<i64>,
    /// Where the newest attempt's log ends, in bytes.
    pub log_end: i64,
    pub outputs: Vec<u8>,
    pub created: i64,
    /// The encoded job as submitted; empty unless asked for.
    pub spec: Vec<u8>,
}

const COLUMNS: &str = "seq, project, job, definition, state, cancel, lease, attempt, faults, worker, avoid, ready, expires, \
     acquired, started, finished, log_end, outputs, created";

impl Row {
    fn read(row: &QueryResult, with_spec: bool) -> Result<Self> {
        Ok(Self {
            seq: get(row, "seq")?,
            name: JobName::new(get::<String>(row, "project")?, get::<String>(row, "job")?)?,
            definition: get(row, "definition")?,
            state: State::from_stored(get(row, "state")?)?,
            cancel: get::<i64>(row, "cancel")? != 0,
            lease: get(row, "lease")?,
            attempt: get(row, "attempt")?,
            faults: get(row, "faults")?,
            worker: get(row, "worker")?,
            avoid: get(row, "avoid")?,
            ready: get(row, "ready")?,
            expires: get(row, "expires")?,
            acquired: get(row, "acquired")?,
            started: get(row, "started")?,
            finished: get(row, "finished")?,
            log_end: get(row, "log_end")?,
            outputs: get(row, "outputs")?,
            created: get(row, "created")?,
            spec: if with_spec {
                get(row, "spec")?
            } else {
                Vec::new()
            },
        })
    }
}

/// A job to insert.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub name: JobName,
    pub request: Option<String>,
    pub entrypoint: String,
    pub definition: String,
    pub spec: Vec<u8>,
    pub priority: i64,
    pub memory: i64,
    pub cpus: f64,
    pub gpus: i64,
    pub created: i64,
}

/// Inserts jobs; the names of those that were not there yet, by name or by request.
pub(crate) async fn insert(db: &impl ConnectionTrait, jobs: &[New]) -> Result<BTreeSet<JobName>> {
    let mut inserted = BTreeSet::new();
    for chunk in jobs.chunks(MAX_VARIABLES / 13) {
        let mut sql = Sql::new(
            "INSERT INTO jobs (project, job, request, entrypoint, definition, spec, priority, memory, cpus, gpus, created, state, outputs) VALUES ",
        );
        sql.rows(chunk.iter().map(|job| {
            vec![
                job.name.project.clone().into(),
                job.name.job.clone().into(),
                job.request.clone().into(),
                job.entrypoint.clone().into(),
                job.definition.clone().into(),
                job.spec.clone().into(),
                job.priority.into(),
                job.memory.into(),
                job.cpus.into(),
                job.gpus.into(),
                job.created.into(),
                State::Queued.stored().into(),
                Vec::<u8>::new().into(),
            ]
        }));
        sql.push(" ON CONFLICT DO NOTHING RETURNING project, job");
        for row in sql.all(db).await? {
            inserted.insert(JobName::new(
                get::<String>(&row, "project")?,
                get::<String>(&row, "job")?,
            )?);
        }
    }
    Ok(inserted)
}

/// One job, with its spec.
pub(crate) async fn find(db: &impl ConnectionTrait, name: &JobName) -> Result<Option<Row>> {
    let mut sql = Sql::new(&format!(
        "SELECT {COLUMNS}, spec FROM jobs WHERE project = "
    ));
    sql.bind(name.project.clone())
        .push(" AND job = ")
        .bind(name.job.clone());
    sql.one(db)
        .await?
        .map(|row| Row::read(&row, true))
        .transpose()
}

/// The job that a request made, with its spec.
pub(crate) async fn find_request(
    db: &impl ConnectionTrait,
    project: &str,
    request: &str,
) -> Result<Option<Row>> {
    let mut sql = Sql::new(&format!(
        "SELECT {COLUMNS}, spec FROM jobs WHERE project = "
    ));
    sql.bind(project).push(" AND request = ").bind(request);
    sql.one(db)
        .await?
        .map(|row| Row::read(&row, true))
        .transpose()
}

/// Jobs of a project before `before`, the newest first, with their specs.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    project: &str,
    state: Option<State>,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(&format!(
        "SELECT {COLUMNS}, spec FROM jobs WHERE project = "
    ));
    sql.bind(project);
    if let Some(state) = state {
        sql.push(" AND state = ").bind(state.stored());
    }
    sql.push(" AND seq < ").bind(before.unwrap_or(i64::MAX));
    sql.push(" ORDER BY seq DESC LIMIT ").bind(limit as i64);
    sql.all(db)
        .await?
        .iter()
        .map(|row| Row::read(row, true))
        .collect()
}

/// Locks jobs for a change, by name, without their specs.
pub(crate) async fn lock(
    db: &impl ConnectionTrait,
    names: &BTreeSet<JobName>,
) -> Result<BTreeMap<JobName, Row>> {
    let mut found = BTreeMap::new();
    let names: Vec<_> = names.iter().collect();
    for chunk in names.chunks(MAX_VARIABLES / 2) {
        let mut sql = Sql::new("WITH wanted (p, j) AS (VALUES ");
        sql.rows(
            chunk
                .iter()
                .map(|name| vec![name.project.clone().into(), name.job.clone().into()]),
        );
        sql.push(&format!(
            ") SELECT {COLUMNS} FROM wanted CROSS JOIN jobs WHERE project = p AND job = j{}",
            locking(db, " FOR UPDATE OF jobs")
        ));
        for row in sql.all(db).await? {
            let row = Row::read(&row, false)?;
            found.insert(row.name.clone(), row);
        }
    }
    Ok(found)
}

/// What a worker can take.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    pub worker: String,
    pub memory: i64,
    pub cpus: f64,
    pub gpus: i64,
    pub limit: i64,
}

/// Locks the jobs that go next to a worker, in order, with their specs. A job is withheld from the worker that lost it last while another
/// one is alive, but not for longer than `patience`, since the other one may be too small for it.
pub(crate) async fn lock_next(
    db: &impl ConnectionTrait,
    fit: &Fit,
    now: i64,
    patience: i64,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(&format!(
        "SELECT {COLUMNS}, spec FROM jobs WHERE state = 1 AND ready <= "
    ));
    sql.bind(now);
    sql.push(" AND memory <= ").bind(fit.memory);
    sql.push(" AND cpus <= ").bind(fit.cpus);
    sql.push(" AND gpus <= ").bind(fit.gpus);
    sql.push(" AND (avoid IS NULL OR avoid <> ")
        .bind(fit.worker.clone());
    sql.push(" OR ready <= ").bind(now - patience);
    sql.push(" OR NOT EXISTS (SELECT 1 FROM workers WHERE name <> ")
        .bind(fit.worker.clone());
    sql.push(" AND heartbeat > ")
        .bind(now - patience)
        .push("))");
    sql.push(" ORDER BY priority DESC, seq LIMIT ")
        .bind(fit.limit);
    sql.push(locking(db, " FOR UPDATE SKIP LOCKED"));
    sql.all(db)
        .await?
        .iter()
        .map(|row| Row::read(row, true))
        .collect()
}

/// Gives queued jobs, which must be locked, to a worker.
pub(crate) async fn assign(
    db: &impl ConnectionTrait,
    seqs: &[i64],
    worker: &str,
    now: i64,
    expires: i64,
) -> Result<()> {
    for chunk in seqs.chunks(MAX_VARIABLES / 2) {
        let mut sql = Sql::new(
            "UPDATE jobs SET lease = lease + 1, attempt = attempt + 1, avoid = NULL, ready = 0, log_end = 0, state = ",
        );
        sql.bind(State::Assigned.stored());
        sql.push(", worker = ").bind(worker);
        sql.push(", acquired = ").bind(now);
        sql.push(", expires = ").bind(expires);
        sql.push(" WHERE seq IN (")
            .list(chunk.iter().map(|seq| (*seq).into()))
            .push(")");
        sql.execute(db).await?;
    }
    Ok(())
}

/// Writes back jobs that were locked.
pub(crate) async fn save(db: &impl ConnectionTrait, rows: &[&Row]) -> Result<()> {
    for chunk in rows.chunks(MAX_VARIABLES / 14) {
        let mut sql =
            Sql::new("WITH changed (k, a, b, c, d, e, f, g, h, i, j, l, m, n) AS (VALUES ");
        sql.rows(chunk.iter().map(|row| values(row)));
        sql.push(
            ") UPDATE jobs SET state = a, cancel = b, lease = c, faults = d, worker = e, avoid = f, ready = g, expires = h, \
             acquired = i, started = j, finished = l, log_end = m, outputs = n FROM changed WHERE seq = k",
        );
        sql.execute(db).await?;
    }
    Ok(())
}

fn values(row: &Row) -> Vec<Value> {
    vec![
        row.seq.into(),
        row.state.stored().into(),
        i64::from(row.cancel).into(),
        row.lease.into(),
        row.faults.into(),
        row.worker.clone().into(),
        row.avoid.clone().into(),
        row.ready.into(),
        row.expires.into(),
        row.acquired.into(),
        row.started.into(),
        row.finished.into(),
        row.log_end.into(),
        row.outputs.clone().into(),
    ]
}

/// Locks up to `limit` jobs whose lease has ended.
pub(crate) async fn lock_expired(
    db: &impl ConnectionTrait,
    now: i64,
    limit: i64,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(&format!("SELECT {COLUMNS} FROM jobs WHERE expires <= "));
    sql.bind(now)
        .push(" ORDER BY expires LIMIT ")
        .bind(limit)
        .push(locking(db, " FOR UPDATE SKIP LOCKED"));
    sql.all(db)
        .await?
        .iter()
        .map(|row| Row::read(row, false))
        .collect()
}

/// Locks up to `limit` jobs that a worker holds.
pub(crate) async fn lock_held_by(
    db: &impl ConnectionTrait,
    worker: &str,
    limit: i64,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(&format!("SELECT {COLUMNS} FROM jobs WHERE worker = "));
    sql.bind(worker)
        .push(" ORDER BY seq LIMIT ")
        .bind(limit)
        .push(locking(db, " FOR UPDATE"));
    sql.all(db)
        .await?
        .iter()
        .map(|row| Row::read(row, false))
        .collect()
}

/// When the next lease ends, or the next delayed job may go.
pub(crate) async fn next_deadline(db: &impl ConnectionTrait, now: i64) -> Result<Option<i64>> {
    let lease = Sql::new("SELECT MIN(expires) AS at FROM jobs WHERE expires IS NOT NULL")
        .one(db)
        .await?;
    let mut sql =
        Sql::new("SELECT MIN(ready) AS at FROM jobs WHERE state = 1 AND ready > 0 AND ready > ");
    sql.bind(now);
    let delayed = sql.one(db).await?;
    let mut found = Vec::new();
    for row in lease.iter().chain(&delayed) {
        found.extend(get::<Option<i64>>(row, "at")?);
    }
    Ok(found.into_iter().min())
}

/// Whether a job waits that was tried before.
pub(crate) async fn any_delayed(db: &impl ConnectionTrait) -> Result<bool> {
    Ok(
        Sql::new("SELECT 1 AS one FROM jobs WHERE state = 1 AND ready > 0 LIMIT 1")
            .one(db)
            .await?
            .is_some(),
    )
}
