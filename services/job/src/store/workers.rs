//! The table of workers.

use granary_core::Result;
use sea_orm::ConnectionTrait;

use super::{Sql, get};

/// A worker.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub name: String,
    pub resources: Vec<u8>,
    pub heartbeat: i64,
}

/// Adds a worker, or replaces it.
pub(crate) async fn put(db: &impl ConnectionTrait, worker: &Row) -> Result<()> {
    let mut sql = Sql::new("INSERT INTO workers (name, resources, heartbeat) VALUES (");
    sql.list([
        worker.name.clone().into(),
        worker.resources.clone().into(),
        worker.heartbeat.into(),
    ]);
    sql.push(") ON CONFLICT (name) DO UPDATE SET resources = excluded.resources, heartbeat = excluded.heartbeat");
    sql.execute(db).await.map(drop)
}

/// Notes that a worker was heard of; whether it is registered.
pub(crate) async fn touch(db: &impl ConnectionTrait, name: &str, now: i64) -> Result<bool> {
    let mut sql = Sql::new("UPDATE workers SET heartbeat = ");
    sql.bind(now).push(" WHERE name = ").bind(name);
    Ok(sql.execute(db).await? > 0)
}

/// Workers after `after`, by name.
pub(crate) async fn list(db: &impl ConnectionTrait, after: &str, limit: i64) -> Result<Vec<Row>> {
    let mut sql = Sql::new("SELECT name, resources, heartbeat FROM workers WHERE name > ");
    sql.bind(after).push(" ORDER BY name LIMIT ").bind(limit);
    sql.all(db)
        .await?
        .iter()
        .map(|row| {
            Ok(Row {
                name: get(row, "name")?,
                resources: get(row, "resources")?,
                heartbeat: get(row, "heartbeat")?,
            })
        })
        .collect()
}
