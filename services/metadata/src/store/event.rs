//! The outbox, read in order.

use granary_core::Result;
use sea_orm::ConnectionTrait;

use granary_runtime::db::sql::{Row, Sql, values};

/// An event as stored.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub seq: i64,
    pub kind: String,
    pub resource: String,
    pub created: i64,
    /// The call that it comes of; empty if it is part of no trace.
    pub trace: String,
}

/// Which events somebody wants to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Of this project, or of all.
    pub project: Option<String>,
    /// Of these types, or of all.
    pub types: Vec<String>,
    /// Of this resource and what is below it, or of all.
    pub resource: String,
}

/// The number of the newest event, 0 before the first one.
pub(crate) async fn newest(on: &impl ConnectionTrait) -> Result<i64> {
    let sql = Sql::new(
        on.get_database_backend(),
        "SELECT COALESCE(MAX(seq), 0) FROM events",
    );
    Ok(sql.first(on, Row::get).await?.unwrap_or(0))
}

/// Up to `limit` wanted events after `last` and up to `newest`, in order.
pub(crate) async fn after(
    on: &impl ConnectionTrait,
    wanted: &Wanted,
    last: i64,
    newest: i64,
    limit: usize,
) -> Result<Vec<Event>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT seq, type, resource, created, trace FROM events WHERE seq > ",
    );
    sql.bind(last).push(" AND seq <= ").bind(newest);
    if let Some(project) = &wanted.project {
        sql.push(" AND project = ").bind(project.as_str());
    }
    if !wanted.types.is_empty() {
        sql.push(" AND type IN (");
        for (i, kind) in wanted.types.iter().enumerate() {
            sql.push(if i == 0 { "" } else { ", " }).bind(kind.as_str());
        }
        sql.push(")");
    }
    if !wanted.resource.is_empty() {
        // `0` is the character after `/`.
        sql.push(" AND (resource = ").bind(wanted.resource.as_str());
        sql.push(" OR resource > ")
            .bind(format!("{}/", wanted.resource));
        sql.push(" AND resource < ")
            .bind(format!("{}0", wanted.resource))
            .push(")");
    }
    sql.push(" ORDER BY seq LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let read = |row: &mut Row| {
        Ok(Event {
            seq: row.get()?,
            kind: row.get()?,
            resource: row.get()?,
            created: row.get()?,
            trace: row.get()?,
        })
    };
    sql.all(on, read).await
}

/// Which stream this is: made at first start, so that tokens of another database are told apart.
pub(crate) async fn stream(on: &impl ConnectionTrait, proposal: &str) -> Result<String> {
    let backend = on.get_database_backend();
    let find = || {
        Sql::new(
            backend,
            "SELECT stream FROM streams ORDER BY stream LIMIT 1",
        )
        .first(on, Row::get)
    };
    if let Some(stream) = find().await? {
        return Ok(stream);
    }
    let mut sql = Sql::new(backend, "INSERT INTO streams (stream) VALUES ");
    sql.tuple(values![proposal]);
    sql.run(on).await?;
    Ok(find().await?.unwrap_or_else(|| proposal.to_owned()))
}
