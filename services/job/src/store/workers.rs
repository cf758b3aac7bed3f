//! The table of workers.

use granary_core::Result;
use sea_orm::ConnectionTrait;

use super::{Sql, get};

/// A worker.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub name: String,
    /// Whose it is: the subject of the token that registered it.
    pub subject: String,
    pub resources: Vec<u8>,
    pub heartbeat: i64,
}

/// Adds a worker, or replaces it; not that of another subject, unless it was not heard of since `abandoned`. Whether it did.
pub(crate) async fn put(db: &impl ConnectionTrait, worker: &Row, abandoned: i64) -> Result<bool> {
    let mut sql = Sql::new("INSERT INTO workers (name, subject, resources, heartbeat) VALUES (");
    sql.list([
        worker.name.clone().into(),
        worker.subject.clone().into(),
        worker.resources.clone().into(),
        worker.heartbeat.into(),
    ]);
    sql.push(
        ") ON CONFLICT (name) DO UPDATE SET subject = excluded.subject, resources = excluded.resources, heartbeat = excluded.heartbeat \
         WHERE workers.subject = excluded.subject OR workers.heartbeat < ",
    );
    sql.bind(abandoned);
    Ok(sql.execute(db).await? > 0)
}

/// Notes that a worker was heard of; whether it is registered, and by this subject.
pub(crate) async fn touch(
    db: &impl ConnectionTrait,
    name: &str,
    subject: &str,
    now: i64,
) -> Result<bool> {
    let mut sql = Sql::new("UPDATE workers SET heartbeat = ");
    sql.bind(now).push(" WHERE name = ").bind(name);
    sql.push(" AND subject = ").bind(subject);
    Ok(sql.execute(db).await? > 0)
}

/// Whether a worker is registered, by whomever.
pub(crate) async fn is_there(db: &impl ConnectionTrait, name: &str) -> Result<bool> {
    let mut sql = Sql::new("SELECT 1 AS one FROM workers WHERE name = ");
    sql.bind(name);
    Ok(sql.one(db).await?.is_some())
}

/// Workers after `after`, by name.
pub(crate) async fn list(db: &impl ConnectionTrait, after: &str, limit: i64) -> Result<Vec<Row>> {
    let mut sql = Sql::new("SELECT name, subject, resources, heartbeat FROM workers WHERE name > ");
    sql.bind(after).push(" ORDER BY name LIMIT ").bind(limit);
    sql.all(db)
        .await?
        .iter()
        .map(|row| {
            Ok(Row {
                name: get(row, "name")?,
                subject: get(row, "subject")?,
                resources: get(row, "resources")?,
                heartbeat: get(row, "heartbeat")?,
            })
        })
        .collect()
}
