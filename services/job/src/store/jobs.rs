//! The table of jobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use granary_core::{Result, name::JobName};
use granary_runtime::db::{
    MAX_VARIABLES,
    sql::{self, Sql, values},
};
use sea_orm::{ConnectionTrait, Value};

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
    /// When the first attempt began.
    pub started: Option<i64>,
    pub finished: Option<i64>,
    /// Where the newest attempt's log ends, in bytes.
    pub log_end: i64,
    pub outputs: Vec<u8>,
    pub created: i64,
    /// The encoded job as submitted; empty unless asked for.
    pub spec: Vec<u8>,
}

const SELECT: &str = "SELECT seq, project, job, definition, state, cancel, lease, attempt, faults, worker, avoid, ready, expires, \
     acquired, started, finished, log_end, outputs, created";
const WITH_SPEC: &str = ", spec FROM jobs WHERE ";

impl Row {
    fn read(row: &mut sql::Row) -> Result<Self> {
        Ok(Self {
            seq: row.get()?,
            name: JobName::new(row.get::<String>()?, row.get::<String>()?)?,
            definition: row.get()?,
            state: State::from_stored(row.get()?)?,
            cancel: row.get::<i64>()? != 0,
            lease: row.get()?,
            attempt: row.get()?,
            faults: row.get()?,
            worker: row.get()?,
            avoid: row.get()?,
            ready: row.get()?,
            expires: row.get()?,
            acquired: row.get()?,
            started: row.get()?,
            finished: row.get()?,
            log_end: row.get()?,
            outputs: row.get()?,
            created: row.get()?,
            spec: Vec::new(),
        })
    }

    fn read_with_spec(row: &mut sql::Row) -> Result<Self> {
        let job = Self::read(row)?;
        Ok(Self {
            spec: row.get()?,
            ..job
        })
    }

    /// Since when it is in the queue: since it was submitted, or since its newest attempt, or the pause after it.
    pub(crate) fn queued_since(&self) -> i64 {
        let again = self.ready.max(self.acquired.unwrap_or(0));
        self.created.max(again)
    }

    /// What [`save`] writes, after the key.
    fn changeable(&self) -> [Value; 14] {
        values![
            self.seq,
            self.state.stored(),
            i64::from(self.cancel),
            self.lease,
            self.faults,
            self.worker.clone(),
            self.avoid.clone(),
            self.ready,
            self.expires,
            self.acquired,
            self.started,
            self.finished,
            self.log_end,
            self.outputs.clone(),
        ]
    }
}

/// How many jobs have a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alive {
    pub state: State,
    pub count: i64,
    /// Since when the oldest is in the queue, if it is.
    pub since: i64,
}

/// How many jobs have not ended, by state: two indices have no others.
pub(crate) async fn alive(db: &impl ConnectionTrait) -> Result<Vec<Alive>> {
    let sql = Sql::new(
        db.get_database_backend(),
        "SELECT state, COUNT(*), MIN(CASE WHEN ready > created THEN ready WHEN acquired > created THEN acquired ELSE created END) \
         FROM jobs WHERE state = 1 GROUP BY state \
         UNION ALL SELECT state, COUNT(*), MIN(created) FROM jobs WHERE expires IS NOT NULL GROUP BY state",
    );
    let read = |row: &mut sql::Row| {
        Ok(Alive {
            state: State::from_stored(row.get()?)?,
            count: row.get()?,
            since: row.get()?,
        })
    };
    sql.all(db, read).await
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
    /// Whether its entrypoint has an image.
    pub image: bool,
    pub created: i64,
}

/// Inserts jobs; the names of those that were not there yet, by name or by request.
pub(crate) async fn insert(db: &impl ConnectionTrait, jobs: &[New]) -> Result<BTreeSet<JobName>> {
    let mut inserted = BTreeSet::new();
    let columns = |job: &New| -> [Value; 14] {
        values![
            job.name.project.as_str(),
            job.name.job.as_str(),
            job.request.clone(),
            job.entrypoint.as_str(),
            job.definition.as_str(),
            job.spec.clone(),
            job.priority,
            job.memory,
            job.cpus,
            job.gpus,
            i64::from(job.image),
            job.created,
            State::Queued.stored(),
            Vec::<u8>::new(),
        ]
    };
    for chunk in jobs.chunks(MAX_VARIABLES / 14) {
        let mut sql = Sql::new(
            db.get_database_backend(),
            "INSERT INTO jobs (project, job, request, entrypoint, definition, spec, priority, memory, cpus, gpus, image, created, state, outputs) VALUES ",
        );
        sql.tuples(chunk, columns)
            .push(" ON CONFLICT DO NOTHING RETURNING project, job");
        let name = |row: &mut sql::Row| JobName::new(row.get::<String>()?, row.get::<String>()?);
        inserted.extend(sql.all(db, name).await?);
    }
    Ok(inserted)
}

/// One job, with its spec.
pub(crate) async fn find(db: &impl ConnectionTrait, name: &JobName) -> Result<Option<Row>> {
    let mut sql = Sql::new(db.get_database_backend(), SELECT);
    sql.push(WITH_SPEC)
        .push("project = ")
        .bind(name.project.as_str());
    sql.push(" AND job = ").bind(name.job.as_str());
    sql.first(db, Row::read_with_spec).await
}

/// The job that a request made, with its spec.
pub(crate) async fn find_request(
    db: &impl ConnectionTrait,
    project: &str,
    request: &str,
) -> Result<Option<Row>> {
    let mut sql = Sql::new(db.get_database_backend(), SELECT);
    sql.push(WITH_SPEC).push("project = ").bind(project);
    sql.push(" AND request = ").bind(request);
    sql.first(db, Row::read_with_spec).await
}

/// Jobs of a project before `before`, the newest first, with their specs.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    project: &str,
    state: Option<State>,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(db.get_database_backend(), SELECT);
    sql.push(WITH_SPEC).push("project = ").bind(project);
    if let Some(state) = state {
        sql.push(" AND state = ").bind(state.stored());
    }
    sql.push(" AND seq < ").bind(before.unwrap_or(i64::MAX));
    sql.push(" ORDER BY seq DESC LIMIT ").bind(limit as i64);
    sql.all(db, Row::read_with_spec).await
}

/// Locks jobs for a change, by name, without their specs.
pub(crate) async fn lock(
    db: &impl ConnectionTrait,
    names: &BTreeSet<JobName>,
) -> Result<BTreeMap<JobName, Row>> {
    let mut found = BTreeMap::new();
    let names: Vec<_> = names.iter().collect();
    for chunk in names.chunks(MAX_VARIABLES / 4) {
        let mut sql = Sql::new(db.get_database_backend(), SELECT);
        sql.given(chunk, |name| {
            values![name.project.as_str(), name.job.as_str()]
        })
        .push("jobs WHERE project = v.column1 AND job = v.column2")
        .lock(" FOR UPDATE OF jobs");
        let rows = sql.all(db, Row::read).await?;
        found.extend(rows.into_iter().map(|row| (row.name.clone(), row)));
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
    /// Only jobs with an image.
    pub with_image: bool,
    /// Only jobs of this project; of all if none.
    pub project: Option<Arc<str>>,
    pub limit: i64,
}

/// Locks the jobs that go next to a worker, in order, with their specs, but none of the projects that are full. A job is withheld from the worker that lost it last while another
/// one is alive, but not for longer than `patience`, since the other one may be too small for it.
pub(crate) async fn lock_next(
    db: &impl ConnectionTrait,
    fit: &Fit,
    full: &BTreeSet<String>,
    now: i64,
    patience: i64,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(db.get_database_backend(), SELECT);
    sql.push(WITH_SPEC)
        .push("state = 1 AND ready <= ")
        .bind(now);
    if let Some(project) = &fit.project {
        sql.push(" AND project = ").bind(&**project);
    }
    if fit.with_image {
        sql.push(" AND image = 1");
    }
    if !full.is_empty() {
        sql.push(" AND project NOT IN (")
            .list(full.iter().map(String::as_str))
            .push(")");
    }
    sql.push(" AND memory <= ").bind(fit.memory);
    sql.push(" AND cpus <= ").bind(fit.cpus);
    sql.push(" AND gpus <= ").bind(fit.gpus);
    sql.push(" AND (avoid IS NULL OR avoid <> ")
        .bind(fit.worker.as_str());
    sql.push(" OR ready <= ").bind(now - patience);
    sql.push(" OR NOT EXISTS (SELECT 1 FROM workers WHERE name <> ")
        .bind(fit.worker.as_str());
    sql.push(" AND heartbeat > ")
        .bind(now - patience)
        .push("))");
    sql.push(" ORDER BY priority DESC, seq LIMIT ")
        .bind(fit.limit);
    sql.lock(" FOR UPDATE SKIP LOCKED");
    sql.all(db, Row::read_with_spec).await
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
            db.get_database_backend(),
            "UPDATE jobs SET lease = lease + 1, attempt = attempt + 1, avoid = NULL, ready = 0, log_end = 0, state = ",
        );
        sql.bind(State::Assigned.stored());
        sql.push(", worker = ").bind(worker);
        sql.push(", acquired = ").bind(now);
        sql.push(", started = COALESCE(started, ")
            .bind(now)
            .push(")");
        sql.push(", expires = ").bind(expires);
        sql.push(" WHERE seq IN (")
            .list(chunk.iter().copied())
            .push(")");
        sql.run(db).await?;
    }
    Ok(())
}

/// Writes back jobs that were locked.
pub(crate) async fn save(db: &impl ConnectionTrait, rows: &[&Row]) -> Result<()> {
    for chunk in rows.chunks(MAX_VARIABLES / 14) {
        let mut sql = Sql::new(
            db.get_database_backend(),
            "WITH changed (k, a, b, c, d, e, f, g, h, i, j, l, m, n) AS (VALUES ",
        );
        sql.tuples(chunk, |row| row.changeable());
        sql.push(
            ") UPDATE jobs SET state = a, cancel = b, lease = c, faults = d, worker = e, avoid = f, ready = g, expires = h, \
             acquired = i, started = j, finished = l, log_end = m, outputs = n FROM changed WHERE seq = k",
        );
        sql.run(db).await?;
    }
    Ok(())
}

/// Locks up to `limit` jobs whose lease has ended.
pub(crate) async fn lock_expired(
    db: &impl ConnectionTrait,
    now: i64,
    limit: i64,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(db.get_database_backend(), SELECT);
    sql.push(" FROM jobs WHERE expires <= ").bind(now);
    sql.push(" ORDER BY expires LIMIT ")
        .bind(limit)
        .lock(" FOR UPDATE SKIP LOCKED");
    sql.all(db, Row::read).await
}

/// Locks up to `limit` jobs that a worker holds, after `after` in the order of their submission.
pub(crate) async fn lock_held_by(
    db: &impl ConnectionTrait,
    worker: &str,
    after: i64,
    limit: i64,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(db.get_database_backend(), SELECT);
    sql.push(" FROM jobs WHERE worker = ").bind(worker);
    sql.push(" AND seq > ").bind(after);
    sql.push(" ORDER BY seq LIMIT ")
        .bind(limit)
        .lock(" FOR UPDATE");
    sql.all(db, Row::read).await
}

/// When the next lease ends, or the next delayed job may go.
pub(crate) async fn next_deadline(db: &impl ConnectionTrait, now: i64) -> Result<Option<i64>> {
    let backend = db.get_database_backend();
    let lease = Sql::new(
        backend,
        "SELECT MIN(expires) FROM jobs WHERE expires IS NOT NULL",
    );
    let mut delayed = Sql::new(
        backend,
        "SELECT MIN(ready) FROM jobs WHERE state = 1 AND ready > 0 AND ready > ",
    );
    delayed.bind(now);
    let mut next = None;
    for sql in [lease, delayed] {
        let at: Option<Option<i64>> = sql.first(db, sql::Row::get).await?;
        next = next.into_iter().chain(at.flatten()).min();
    }
    Ok(next)
}

/// Whether a job waits that was tried before.
pub(crate) async fn any_delayed(db: &impl ConnectionTrait) -> Result<bool> {
    let sql = Sql::new(
        db.get_database_backend(),
        "SELECT seq FROM jobs WHERE state = 1 AND ready > 0 LIMIT 1",
    );
    Ok(sql.first(db, sql::Row::get::<i64>).await?.is_some())
}
