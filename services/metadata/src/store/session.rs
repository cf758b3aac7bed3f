//! Sessions.

use granary_core::{
    Result,
    filter::Filter,
    layout::DatasetKind,
    name::{DatasetScope, SessionName},
};
use granary_proto::convert::Report;
use granary_runtime::db::sql::{Row, Sql, insert, values};
use sea_orm::ConnectionTrait;

use super::{
    attributes::{Attributes, Entry, index_sessions},
    filter::{self, SESSIONS},
    json,
};
use crate::state::session::State;

/// A session as stored.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub name: SessionName,
    pub kind: DatasetKind,
    pub state: State,
    pub attributes: Attributes,
    pub metadata_path: String,
    pub derived_from: Vec<String>,
    pub producer: String,
    pub errors: Report,
    /// What it was opened with, so that opening it again after pipelines added to it is told apart from other content.
    pub opened_with: String,
    pub asset_count: i64,
    pub pending_count: i64,
    pub ready_count: i64,
    pub rejected_count: i64,
    pub size_bytes: i64,
    pub created: i64,
    pub completed: Option<i64>,
    pub finished: Option<i64>,
}

/// Where a page of sessions goes on: creation, dataset, session.
pub(crate) type Key = (i64, String, String);

const COLUMNS: &str = "SELECT s.project, s.dataset, s.session, d.kind, s.state, s.attributes, s.metadata_path, s.derived_from, \
    s.producer, s.errors, s.opened_with, s.asset_count, s.pending_count, s.ready_count, s.rejected_count, s.size_bytes, s.created, \
    s.completed, s.finished";
const FROM: &str =
    "sessions s JOIN datasets d ON d.project = s.project AND d.dataset = s.dataset WHERE ";
const GIVEN: &str = "s.project = v.column1 AND s.dataset = v.column2 AND s.session = v.column3";

fn read(row: &mut Row) -> Result<Session> {
    Ok(Session {
        name: SessionName {
            project: row.get()?,
            dataset: row.get()?,
            session: row.get()?,
        },
        kind: row.get::<String>()?.parse()?,
        state: State::parse(&row.get::<String>()?)?,
        attributes: json::decode(&row.get::<String>()?)?,
        metadata_path: row.get()?,
        derived_from: json::decode(&row.get::<String>()?)?,
        producer: row.get()?,
        errors: json::decode(&row.get::<String>()?)?,
        opened_with: row.get()?,
        asset_count: row.get()?,
        pending_count: row.get()?,
        ready_count: row.get()?,
        rejected_count: row.get()?,
        size_bytes: row.get()?,
        created: row.get()?,
        completed: row.get()?,
        finished: row.get()?,
    })
}

fn columns(name: &SessionName) -> [sea_orm::Value; 3] {
    values![
        name.project.as_str(),
        name.dataset.as_str(),
        name.session.as_str()
    ]
}

/// Those sessions that are there, in any order.
pub(crate) async fn get(on: &impl ConnectionTrait, names: &[SessionName]) -> Result<Vec<Session>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(on.get_database_backend(), COLUMNS);
    sql.given(names, columns).push(FROM).push(GIVEN);
    sql.all(on, read).await
}

/// Those sessions that are there, locked until the transaction ends. Whoever changes assets locks their sessions first.
pub(crate) async fn lock(on: &impl ConnectionTrait, names: &[SessionName]) -> Result<Vec<Session>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(on.get_database_backend(), COLUMNS);
    sql.given(names, columns).push(FROM).push(GIVEN);
    sql.lock(" ORDER BY s.project, s.dataset, s.session FOR UPDATE OF s");
    sql.all(on, read).await
}

/// Up to `limit` sessions that match, the newest first, after `last`.
pub(crate) async fn list(
    on: &impl ConnectionTrait,
    scope: &DatasetScope,
    filter: &Filter,
    last: Option<&Key>,
    limit: u32,
) -> Result<Vec<Session>> {
    let mut sql = Sql::new(on.get_database_backend(), COLUMNS);
    sql.push(" FROM ")
        .push(FROM)
        .push("s.project = ")
        .bind(scope.project.as_str());
    if let Some(dataset) = &scope.dataset {
        sql.push(" AND s.dataset = ").bind(dataset.as_str());
    }
    filter::push(&mut sql, filter, &SESSIONS)?;
    if let Some((created, dataset, session)) = last {
        sql.push(" AND (s.created, s.dataset, s.session) < ")
            .tuple(values![*created, dataset.as_str(), session.as_str()]);
    }
    sql.push(" ORDER BY s.created DESC, s.dataset DESC, s.session DESC LIMIT ")
        .bind(i64::from(limit));
    sql.all(on, read).await
}

/// Adds sessions, and indexes their attributes.
pub(crate) async fn add(on: &impl ConnectionTrait, sessions: &[&Session]) -> Result<()> {
    let mut rows = Vec::with_capacity(sessions.len());
    for session in sessions {
        rows.push((*session, encoded(session)?));
    }
    let head = "INSERT INTO sessions (project, dataset, session, state, attributes, metadata_path, derived_from, producer, errors, \
         opened_with, asset_count, pending_count, ready_count, rejected_count, size_bytes, created, completed, finished) VALUES ";
    let tuple = |(s, [attributes, derived_from, errors]): &(&Session, [String; 3])| {
        let [project, dataset, session] = columns(&s.name);
        values![
            project,
            dataset,
            session,
            s.state.as_str(),
            attributes.as_str(),
            s.metadata_path.as_str(),
            derived_from.as_str(),
            s.producer.as_str(),
            errors.as_str(),
            s.opened_with.as_str(),
            s.asset_count,
            s.pending_count,
            s.ready_count,
            s.rejected_count,
            s.size_bytes,
            s.created,
            s.completed,
            s.finished,
        ]
    };
    insert(on, head, &rows, tuple, "").await?;
    index(on, sessions).await
}

/// Removes a session and the index of its attributes; its assets stay.
pub(crate) async fn remove(on: &impl ConnectionTrait, name: &SessionName) -> Result<()> {
    for table in [
        "DELETE FROM session_attributes WHERE (project, dataset, session) = ",
        "DELETE FROM sessions WHERE (project, dataset, session) = ",
    ] {
        let mut sql = Sql::new(on.get_database_backend(), table);
        sql.tuple(columns(name));
        sql.run(on).await?;
    }
    Ok(())
}

/// Stores what can change of sessions, all but their counts; whoever changed attributes has them indexed too.
pub(crate) async fn update(on: &impl ConnectionTrait, sessions: &[&Session]) -> Result<()> {
    for session in sessions {
        let [attributes, derived_from, errors] = encoded(session)?;
        let mut sql = Sql::new(on.get_database_backend(), "UPDATE sessions SET state = ");
        sql.bind(session.state.as_str())
            .push(", attributes = ")
            .bind(attributes);
        sql.push(", metadata_path = ")
            .bind(session.metadata_path.as_str());
        sql.push(", derived_from = ")
            .bind(derived_from)
            .push(", producer = ")
            .bind(session.producer.as_str());
        sql.push(", errors = ")
            .bind(errors)
            .push(", opened_with = ")
            .bind(session.opened_with.as_str());
        sql.push(", completed = ")
            .bind(session.completed)
            .push(", finished = ")
            .bind(session.finished);
        sql.push(" WHERE (project, dataset, session) = ")
            .tuple(columns(&session.name));
        sql.run(on).await?;
    }
    Ok(())
}

/// Indexes the attributes of sessions.
pub(crate) async fn index(on: &impl ConnectionTrait, sessions: &[&Session]) -> Result<()> {
    let entries: Vec<_> = sessions
        .iter()
        .flat_map(|s| {
            s.attributes.iter().map(|(key, value)| Entry {
                project: &s.name.project,
                dataset: &s.name.dataset,
                id: &s.name.session,
                key,
                value,
            })
        })
        .collect();
    index_sessions(on, &entries).await
}

fn encoded(session: &Session) -> Result<[String; 3]> {
    Ok([
        json::encode("session.attributes", &session.attributes)?,
        json::encode("session.derived_from", &session.derived_from)?,
        json::encode("session.errors", &session.errors)?,
    ])
}

/// What to add to the counts of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub assets: i64,
    pub pending: i64,
    pub ready: i64,
    pub rejected: i64,
    pub bytes: i64,
}

impl Counts {
    /// Adds others.
    pub(crate) fn add(&mut self, other: Self) {
        self.assets += other.assets;
        self.pending += other.pending;
        self.ready += other.ready;
        self.rejected += other.rejected;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Adds to the counts of sessions.
pub(crate) async fn count<'a>(
    on: &impl ConnectionTrait,
    changes: impl IntoIterator<Item = (&'a SessionName, &'a Counts)>,
) -> Result<()> {
    for (name, counts) in changes
        .into_iter()
        .filter(|(_, counts)| **counts != Counts::default())
    {
        let mut sql = Sql::new(
            on.get_database_backend(),
            "UPDATE sessions SET asset_count = asset_count + ",
        );
        sql.bind(counts.assets)
            .push(", pending_count = pending_count + ")
            .bind(counts.pending);
        sql.push(", ready_count = ready_count + ")
            .bind(counts.ready);
        sql.push(", rejected_count = rejected_count + ")
            .bind(counts.rejected);
        sql.push(", size_bytes = size_bytes + ").bind(counts.bytes);
        sql.push(" WHERE (project, dataset, session) = ")
            .tuple(columns(name));
        sql.run(on).await?;
    }
    Ok(())
}
