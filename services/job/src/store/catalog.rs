//! The tables of the catalogue.

use granary_core::{Result, name::EntrypointName};
use granary_runtime::db::{
    MAX_VARIABLES,
    sql::{self, Sql, insert, values},
};
use sea_orm::ConnectionTrait;

/// An entrypoint of the catalogue as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: String,
    pub digest: String,
    pub updated: i64,
}

const ENTRIES: &str = "SELECT name, digest, updated FROM entrypoints WHERE name ";

fn read(row: &mut sql::Row) -> Result<Entry> {
    Ok(Entry {
        name: row.get()?,
        digest: row.get()?,
        updated: row.get()?,
    })
}

/// One entrypoint.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    name: &EntrypointName,
) -> Result<Option<Entry>> {
    let mut sql = Sql::new(db.get_database_backend(), ENTRIES);
    sql.push("= ").bind(name.to_string());
    sql.first(db, read).await
}

/// Entrypoints after `after`, by name; of one application or version, or of all.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    application: Option<&str>,
    version: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<Entry>> {
    let mut sql = Sql::new(db.get_database_backend(), ENTRIES);
    sql.push("> ").bind(after);
    if let Some(application) = application {
        sql.push(" AND application = ").bind(application);
    }
    if let Some(version) = version {
        sql.push(" AND version = ").bind(version);
    }
    sql.push(" ORDER BY name LIMIT ").bind(limit);
    sql.all(db, read).await
}

/// Definitions, by digest.
pub(crate) async fn definition(db: &impl ConnectionTrait, digest: &str) -> Result<Option<Vec<u8>>> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT body FROM definitions WHERE digest = ",
    );
    sql.bind(digest);
    sql.first(db, sql::Row::get).await
}

/// Stores definitions that are not there yet.
pub(crate) async fn define(
    db: &impl ConnectionTrait,
    definitions: &[(String, Vec<u8>)],
) -> Result<()> {
    let head = "INSERT INTO definitions (digest, body) VALUES ";
    let row = |(digest, body): &(String, Vec<u8>)| values![digest.as_str(), body.clone()];
    insert(db, head, definitions, row, " ON CONFLICT DO NOTHING").await
}

/// Adds entrypoints, or replaces them.
pub(crate) async fn put(
    db: &impl ConnectionTrait,
    entries: &[(EntrypointName, Entry)],
) -> Result<()> {
    let head = "INSERT INTO entrypoints (name, application, version, digest, updated) VALUES ";
    let row = |(name, entry): &(EntrypointName, Entry)| {
        values![
            entry.name.as_str(),
            name.application.as_str(),
            name.version.as_str(),
            entry.digest.as_str(),
            entry.updated,
        ]
    };
    let replacing =
        " ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, updated = excluded.updated";
    insert(db, head, entries, row, replacing).await
}

/// Removes entrypoints; their definitions stay, for the jobs that have them.
pub(crate) async fn remove(db: &impl ConnectionTrait, names: &[String]) -> Result<()> {
    for chunk in names.chunks(MAX_VARIABLES) {
        let mut sql = Sql::new(
            db.get_database_backend(),
            "DELETE FROM entrypoints WHERE name IN (",
        );
        sql.list(chunk.iter().map(String::as_str)).push(")");
        sql.run(db).await?;
    }
    Ok(())
}
