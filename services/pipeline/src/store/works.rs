//! The queue: one entry for each session that completed. Whoever takes one holds a lease, with a number that fences late writes.

use std::collections::HashSet;

use granary_core::{Result, id, name::SessionName};
use granary_proto::pipeline::v1::RunState;
use granary_runtime::{
    db::{self, Db},
    trace::Parent,
};
use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::json;

use super::{Column, all, cursor, execute, get, one, rows, table};

/// A session to work on.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) session: SessionName,
    pub(crate) lease: i64,
    pub(crate) tries: Tries,
    /// The call that completed it.
    pub(crate) trace: Option<Parent>,
}

/// A session that completed, and the call that did so.
#[derive(Clone, Debug)]
pub(crate) struct Completed {
    pub(crate) session: SessionName,
    pub(crate) trace: Option<Parent>,
}

impl From<SessionName> for Completed {
    fn from(session: SessionName) -> Self {
        Self {
            session,
            trace: None,
        }
    }
}

impl Completed {
    fn trace(&self) -> String {
        self.trace
            .as_ref()
            .map_or_else(String::new, Parent::to_string)
    }
}

/// How often a session was given back without getting on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    /// All failures.
    pub(crate) attempts: i64,
    /// How near they bring it to being given up: outages count nothing.
    pub(crate) strikes: i64,
}

/// A session and the number of the lease under which it is held.
pub(crate) type Lease = (SessionName, i64);

/// Queues sessions with a run for each pipeline that they start, and keeps the token of the events that said so. Sessions that are there
/// already are left alone. Says how many are new.
pub(crate) async fn enqueue(
    db: &Db,
    sessions: &[Completed],
    token: &str,
    now: i64,
) -> Result<usize> {
    let tx = db.begin().await?;
    let backend = tx.get_database_backend();
    let entries = sessions
        .iter()
        .map(|completed| json!([completed.session.to_string(), completed.trace()]))
        .collect();
    let columns = [("session", Column::Text), ("trace", Column::Text)];
    let sql = format!(
        "INSERT INTO works (session, state, due, lease, owner, attempts, strikes, create_time, trace)
         SELECT session, 0, $2, 0, '', 0, 0, $2, MIN(trace) FROM {} AS new WHERE true GROUP BY session
         ON CONFLICT (session) DO NOTHING RETURNING session, trace",
        table(backend, 1, &columns)
    );
    let mut new = Vec::new();
    for row in all(&tx, sql, vec![rows(entries), now.into()]).await? {
        new.push(Completed {
            session: SessionName::parse(&get::<String>(&row, "session")?)?,
            trace: Parent::parse(&get::<String>(&row, "trace")?),
        });
    }
    if !new.is_empty() {
        create_runs(&tx, &new, now).await?;
    }
    cursor::save(&tx, token).await?;
    db::commit(tx).await?;
    Ok(new.len())
}

async fn create_runs<C: ConnectionTrait>(tx: &C, sessions: &[Completed], now: i64) -> Result<()> {
    let backend = tx.get_database_backend();
    let datasets = sessions
        .iter()
        .map(|Completed { session, .. }| json!([session.project, session.dataset]))
        .collect();
    let sql = format!(
        "SELECT p.project, p.dataset, p.pipeline, p.version FROM pipelines p
         JOIN (SELECT DISTINCT project, dataset FROM {} AS given) AS wanted ON p.project = wanted.project AND p.dataset = wanted.dataset
         ORDER BY p.project, p.pipeline",
        table(backend, 1, &[("project", Column::Text), ("dataset", Column::Text)])
    );
    let mut runs = Vec::new();
    for row in all(tx, sql, vec![rows(datasets)]).await? {
        let (project, dataset): (String, String) = (get(&row, "project")?, get(&row, "dataset")?);
        let (pipeline, version): (String, i64) = (get(&row, "pipeline")?, get(&row, "version")?);
        let started = sessions
            .iter()
            .filter(|new| new.session.project == project && new.session.dataset == dataset);
        runs.extend(started.map(|new| {
            json!([
                id::new("r"),
                project,
                pipeline,
                version,
                new.session.to_string(),
                new.trace()
            ])
        }));
    }
    if runs.is_empty() {
        return Ok(());
    }
    let columns = [
        ("id", Column::Text),
        ("project", Column::Text),
        ("pipeline", Column::Text),
        ("version", Column::Number),
        ("session", Column::Text),
        ("trace", Column::Text),
    ];
    let sql = format!(
        "INSERT INTO runs (id, project, pipeline, version, session, state, asset_count, done_count, rejected_count, cached_count,
         worked_count, error, create_time, start_time, finish_time, trace)
         SELECT id, project, pipeline, version, session, $2, 0, 0, 0, 0, 0, '', $3, 0, 0, trace FROM {} AS new WHERE true
         ON CONFLICT (project, pipeline, session, version) DO NOTHING",
        table(backend, 1, &columns)
    );
    execute(
        tx,
        sql,
        vec![
            rows(runs),
            i64::from(RunState::Queued as i32).into(),
            now.into(),
        ],
    )
    .await
    .map(drop)
}

/// Takes up to `limit` sessions that are due, until `until`; their runs are running from now on.
pub(crate) async fn claim(
    db: &Db,
    owner: &str,
    limit: usize,
    now: i64,
    until: i64,
) -> Result<Vec<Work>> {
    let tx = db.begin().await?;
    let skip = if tx.get_database_backend() == DbBackend::Postgres {
        " FOR UPDATE SKIP LOCKED"
    } else {
        ""
    };
    let sql = format!(
        "UPDATE works SET lease = lease + 1, owner = $1, due = $2 WHERE session IN
         (SELECT session FROM works WHERE state = 0 AND due <= $3 ORDER BY due LIMIT $4{skip}) RETURNING session, lease, attempts, strikes, trace"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = all(
        &tx,
        sql,
        vec![owner.into(), until.into(), now.into(), limit.into()],
    )
    .await?;
    let mut works = Vec::with_capacity(found.len());
    for row in &found {
        let session: String = get(row, "session")?;
        works.push(Work {
            session: SessionName::parse(&session)?,
            lease: get(row, "lease")?,
            tries: Tries {
                attempts: get(row, "attempts")?,
                strikes: get(row, "strikes")?,
            },
            trace: Parent::parse(&get::<String>(row, "trace")?),
        });
    }
    if !works.is_empty() {
        let sessions = works
            .iter()
            .map(|work| json!([work.session.to_string()]))
            .collect();
        let sql = format!(
            "UPDATE runs SET state = $2, start_time = CASE WHEN start_time = 0 THEN $3 ELSE start_time END
             WHERE state = $4 AND session IN (SELECT session FROM {} AS taken)",
            table(tx.get_database_backend(), 1, &[("session", Column::Text)])
        );
        let (running, queued) = (
            i64::from(RunState::Running as i32),
            i64::from(RunState::Queued as i32),
        );
        execute(
            &tx,
            sql,
            vec![rows(sessions), running.into(), now.into(), queued.into()],
        )
        .await?;
    }
    db::commit(tx).await?;
    Ok(works)
}

/// Holds what `owner` has for longer; says which of the leases are still its own.
pub(crate) async fn renew(
    db: &Db,
    owner: &str,
    leases: &[Lease],
    until: i64,
) -> Result<HashSet<Lease>> {
    let tx = db.begin().await?;
    let held = leases
        .iter()
        .map(|(session, number)| json!([session.to_string(), number]))
        .collect();
    let sql = format!(
        "UPDATE works SET due = $2 FROM {} AS held WHERE works.session = held.session AND works.lease = held.number
         AND works.state = 0 AND works.owner = $3 RETURNING works.session AS session, works.lease AS lease",
        table(
            tx.get_database_backend(),
            1,
            &[("session", Column::Text), ("number", Column::Number)]
        )
    );
    let values = vec![rows(held), until.into(), owner.into()];
    let mut renewed = HashSet::new();
    for row in all(&tx, sql, values).await? {
        let session: String = get(&row, "session")?;
        renewed.insert((SessionName::parse(&session)?, get(&row, "lease")?));
    }
    db::commit(tx).await?;
    Ok(renewed)
}

/// Gives a session back, to be taken again at `due`.
pub(crate) async fn release(db: &Db, work: &Work, tries: Tries, due: i64) -> Result<()> {
    let tx = db.begin().await?;
    let sql = "UPDATE works SET due = $3, attempts = $4, strikes = $5, owner = '' WHERE session = $1 AND lease = $2 AND state = 0";
    let values = vec![
        work.session.to_string().into(),
        work.lease.into(),
        due.into(),
        tries.attempts.into(),
        tries.strikes.into(),
    ];
    execute(&tx, sql, values).await?;
    db::commit(tx).await
}

/// Ends all leases, at the start of the only process that can hold any.
pub(crate) async fn take_over(db: &Db, now: i64) -> Result<()> {
    let tx = db.begin().await?;
    execute(
        &tx,
        "UPDATE works SET due = $1 WHERE state = 0 AND due > $1",
        vec![now.into()],
    )
    .await?;
    db::commit(tx).await
}

/// When the next session is due, if any waits.
pub(crate) async fn next_due(db: &Db) -> Result<Option<i64>> {
    let row = one(
        db.reader(),
        "SELECT due FROM works WHERE state = 0 ORDER BY due LIMIT 1",
        vec![],
    )
    .await?;
    row.map(|row| get(&row, "due")).transpose()
}
