//! Runs.

use granary_core::{
    Result,
    name::{RunName, SessionName},
};
use granary_proto::pipeline::v1::RunState;
use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::{all, get, one};

/// One execution of a pipeline on one session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunRow {
    pub(crate) name: RunName,
    pub(crate) version: i64,
    pub(crate) session: SessionName,
    pub(crate) state: RunState,
    pub(crate) counts: Counts,
    /// Why it could not do its work; empty if it could.
    pub(crate) error: String,
    /// Microseconds; 0 means not yet.
    pub(crate) create_time: i64,
    pub(crate) start_time: i64,
    pub(crate) finish_time: i64,
    /// The call that completed its session; empty if it is part of no trace.
    pub(crate) trace: String,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) assets: i64,
    pub(crate) done: i64,
    pub(crate) rejected: i64,
    pub(crate) cached: i64,
    pub(crate) worked: i64,
}

/// Which runs to list.
#[derive(Debug)]
pub(crate) struct RunScope {
    pub(crate) project: String,
    /// All of the project if none.
    pub(crate) pipeline: Option<String>,
    /// All if none.
    pub(crate) session: Option<SessionName>,
}

const COLUMNS: &str = "id, project, pipeline, version, session, state, asset_count, done_count, rejected_count, cached_count, \
                       worked_count, error, create_time, start_time, finish_time, trace";

fn read(row: &QueryResult) -> Result<RunRow> {
    let session: String = get(row, "session")?;
    let state: i64 = get(row, "state")?;
    Ok(RunRow {
        name: RunName {
            project: get(row, "project")?,
            pipeline: get(row, "pipeline")?,
            run: get(row, "id")?,
        },
        version: get(row, "version")?,
        session: SessionName::parse(&session)?,
        state: i32::try_from(state)
            .ok()
            .and_then(|state| RunState::try_from(state).ok())
            .unwrap_or_default(),
        counts: Counts {
            assets: get(row, "asset_count")?,
            done: get(row, "done_count")?,
            rejected: get(row, "rejected_count")?,
            cached: get(row, "cached_count")?,
            worked: get(row, "worked_count")?,
        },
        error: get(row, "error")?,
        create_time: get(row, "create_time")?,
        start_time: get(row, "start_time")?,
        finish_time: get(row, "finish_time")?,
        trace: get(row, "trace")?,
    })
}

/// One run.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, name: &RunName) -> Result<Option<RunRow>> {
    let sql =
        format!("SELECT {COLUMNS} FROM runs WHERE id = $1 AND project = $2 AND pipeline = $3");
    let values = vec![
        name.run.as_str().into(),
        name.project.as_str().into(),
        name.pipeline.as_str().into(),
    ];
    one(db, sql, values).await?.as_ref().map(read).transpose()
}

/// The runs on a session, the oldest first.
pub(crate) async fn of_session<C: ConnectionTrait>(
    db: &C,
    session: &SessionName,
) -> Result<Vec<RunRow>> {
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE session = $1 ORDER BY id");
    all(db, sql, vec![session.to_string().into()])
        .await?
        .iter()
        .map(read)
        .collect()
}

/// Runs, the newest first, before the id `before`; from the newest one on if it is empty.
pub(crate) async fn list<C: ConnectionTrait>(
    db: &C,
    scope: &RunScope,
    before: &str,
    limit: u32,
) -> Result<Vec<RunRow>> {
    let mut sql = format!("SELECT {COLUMNS} FROM runs WHERE project = $1");
    let mut values: Vec<Value> = vec![scope.project.as_str().into()];
    let mut also = |condition: &str, value: Value| {
        values.push(value);
        sql.push_str(&format!(" AND {condition} ${}", values.len()));
    };
    if let Some(pipeline) = &scope.pipeline {
        also("pipeline =", pipeline.as_str().into());
    }
    if let Some(session) = &scope.session {
        also("session =", session.to_string().into());
    }
    if !before.is_empty() {
        also("id <", before.into());
    }
    values.push(i64::from(limit).into());
    sql.push_str(&format!(" ORDER BY id DESC LIMIT ${}", values.len()));
    all(db, sql, values).await?.iter().map(read).collect()
}
