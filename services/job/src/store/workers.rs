//! The table of workers.

use granary_core::Result;
use granary_runtime::db::sql::{self, Sql, values};
use sea_orm::ConnectionTrait;

/// A worker.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub name: String,
    /// Whose it is: the subject of the token that registered it.
    pub subject: String,
    pub resources: Vec<u8>,
    pub heartbeat: i64,
}

/// Forgets the workers that were not heard of since and hold no lease.
pub(crate) async fn forget(db: &impl ConnectionTrait, since: i64) -> Result<()> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "DELETE FROM workers WHERE heartbeat < ",
    );
    sql.bind(since)
        .push(" AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.worker = workers.name)");
    sql.run(db).await.map(drop)
}

/// How many workers a worker's subject has beside it.
pub(crate) async fn count_others(db: &impl ConnectionTrait, worker: &Row) -> Result<i64> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT COUNT(*) FROM workers WHERE subject = ",
    );
    sql.bind(worker.subject.as_str())
        .push(" AND name <> ")
        .bind(worker.name.as_str());
    let count = sql.first(db, sql::Row::get::<i64>).await?;
    Ok(count.unwrap_or_default())
}

/// How many workers were heard of since then.
pub(crate) async fn heard_since(db: &impl ConnectionTrait, since: i64) -> Result<i64> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT COUNT(*) FROM workers WHERE heartbeat >= ",
    );
    sql.bind(since);
    let count = sql.first(db, sql::Row::get::<i64>).await?;
    Ok(count.unwrap_or_default())
}

/// Adds a worker, or replaces it; not that of another subject. Whether it did.
pub(crate) async fn put(db: &impl ConnectionTrait, worker: &Row) -> Result<bool> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "INSERT INTO workers (name, subject, resources, heartbeat) VALUES ",
    );
    sql.tuple(values![
        worker.name.as_str(),
        worker.subject.as_str(),
        worker.resources.clone(),
        worker.heartbeat
    ]);
    sql.push(
        " ON CONFLICT (name) DO UPDATE SET subject = excluded.subject, resources = excluded.resources, heartbeat = excluded.heartbeat \
         WHERE workers.subject = excluded.subject",
    );
    Ok(sql.run(db).await? > 0)
}

/// Notes that a worker was heard of; whether it is registered, and by this subject.
pub(crate) async fn touch(
    db: &impl ConnectionTrait,
    name: &str,
    subject: &str,
    now: i64,
) -> Result<bool> {
    let mut sql = Sql::new(db.get_database_backend(), "UPDATE workers SET heartbeat = ");
    sql.bind(now).push(" WHERE name = ").bind(name);
    sql.push(" AND subject = ").bind(subject);
    Ok(sql.run(db).await? > 0)
}

/// Whether a worker is registered, by whomever.
pub(crate) async fn is_there(db: &impl ConnectionTrait, name: &str) -> Result<bool> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT name FROM workers WHERE name = ",
    );
    sql.bind(name);
    Ok(sql.first(db, sql::Row::get::<String>).await?.is_some())
}

/// Workers after `after`, by name.
pub(crate) async fn list(db: &impl ConnectionTrait, after: &str, limit: i64) -> Result<Vec<Row>> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT name, subject, resources, heartbeat FROM workers WHERE name > ",
    );
    sql.bind(after).push(" ORDER BY name LIMIT ").bind(limit);
    let read = |row: &mut sql::Row| {
        Ok(Row {
            name: row.get()?,
            subject: row.get()?,
            resources: row.get()?,
            heartbeat: row.get()?,
        })
    };
    sql.all(db, read).await
}
