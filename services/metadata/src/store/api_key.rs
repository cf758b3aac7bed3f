//! API keys.

use granary_core::{
    Result,
    name::{ApiKeyName, ProjectName},
};
use granary_runtime::db::sql::{Row, Sql, values};
use sea_orm::ConnectionTrait;

use crate::role::Role;

/// A key as stored.
#[derive(Clone, Debug)]
pub(crate) struct ApiKey {
    pub name: ApiKeyName,
    pub display_name: String,
    pub role: Role,
    /// Of its text, in hexadecimal.
    pub digest: String,
    pub created: i64,
    pub last_use: Option<i64>,
    pub expires: Option<i64>,
    pub revoked: Option<i64>,
}

/// The place of a key in a list.
pub(crate) type Key = (i64, String);

fn read(row: &mut Row) -> Result<ApiKey> {
    Ok(ApiKey {
        name: ApiKeyName {
            project: row.get()?,
            key: row.get()?,
        },
        display_name: row.get()?,
        role: row.get::<String>()?.parse()?,
        digest: row.get()?,
        created: row.get()?,
        last_use: row.get()?,
        expires: row.get()?,
        revoked: row.get()?,
    })
}

const KEYS: &str = "SELECT project, key, display_name, role, digest, created, last_use, expires, revoked FROM api_keys WHERE ";

/// The key, if it is there.
pub(crate) async fn get(on: &impl ConnectionTrait, name: &ApiKeyName) -> Result<Option<ApiKey>> {
    let mut sql = Sql::new(on.get_database_backend(), KEYS);
    sql.push("project = ").bind(name.project.as_str());
    sql.push(" AND key = ").bind(name.key.as_str());
    sql.first(on, read).await
}

/// Those keys of any project that are there, by their ids.
pub(crate) async fn with_ids(on: &impl ConnectionTrait, ids: &[String]) -> Result<Vec<ApiKey>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT k.project, k.key, k.display_name, k.role, k.digest, k.created, k.last_use, k.expires, k.revoked",
    );
    sql.given(ids, |id| values![id.as_str()]);
    sql.push("api_keys k WHERE k.key = v.column1");
    sql.all(on, read).await
}

/// Up to `limit` keys of a project after `last`, oldest first.
pub(crate) async fn list(
    on: &impl ConnectionTrait,
    project: &ProjectName,
    last: Option<&Key>,
    limit: u32,
) -> Result<Vec<ApiKey>> {
    let mut sql = Sql::new(on.get_database_backend(), KEYS);
    sql.push("project = ").bind(project.project.as_str());
    if let Some((created, key)) = last {
        sql.push(" AND (created, key) > ")
            .tuple(values![*created, key.as_str()]);
    }
    sql.push(" ORDER BY created, key LIMIT ")
        .bind(i64::from(limit));
    sql.all(on, read).await
}

/// How many keys of a project are not revoked.
pub(crate) async fn count(on: &impl ConnectionTrait, project: &ProjectName) -> Result<i64> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT COUNT(*) FROM api_keys WHERE revoked IS NULL AND project = ",
    );
    sql.bind(project.project.as_str());
    Ok(sql.first(on, Row::get).await?.unwrap_or(0))
}

/// Adds a key, unless its id is taken, in whatever project; says whether it was added.
pub(crate) async fn insert(on: &impl ConnectionTrait, key: &ApiKey) -> Result<bool> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "INSERT INTO api_keys (project, key, display_name, role, digest, created, last_use, expires, revoked) VALUES ",
    );
    sql.tuple(values![
        key.name.project.as_str(),
        key.name.key.as_str(),
        key.display_name.as_str(),
        key.role.as_str(),
        key.digest.as_str(),
        key.created,
        key.last_use,
        key.expires,
        key.revoked,
    ]);
    sql.push(" ON CONFLICT DO NOTHING");
    Ok(sql.run(on).await? > 0)
}

/// Revokes a key.
pub(crate) async fn revoke(on: &impl ConnectionTrait, name: &ApiKeyName, now: i64) -> Result<()> {
    let mut sql = Sql::new(on.get_database_backend(), "UPDATE api_keys SET revoked = ");
    sql.bind(now);
    sql.push(" WHERE project = ").bind(name.project.as_str());
    sql.push(" AND key = ").bind(name.key.as_str());
    sql.run(on).await.map(drop)
}

/// Notes when a key was used, unless something later is noted.
pub(crate) async fn used(on: &impl ConnectionTrait, name: &ApiKeyName, at: i64) -> Result<()> {
    let mut sql = Sql::new(on.get_database_backend(), "UPDATE api_keys SET last_use = ");
    sql.bind(at);
    sql.push(" WHERE project = ").bind(name.project.as_str());
    sql.push(" AND key = ").bind(name.key.as_str());
    sql.push(" AND (last_use IS NULL OR last_use < ")
        .bind(at)
        .push(")");
    sql.run(on).await.map(drop)
}
