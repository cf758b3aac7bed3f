//! The tables of the catalogue.

use granary_core::{Result, name::EntrypointName};
use granary_runtime::db::MAX_VARIABLES;
use sea_orm::{ConnectionTrait, QueryResult};

use super::{Sql, get};

/// An entrypoint of the catalogue as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: String,
    pub digest: String,
    pub updated: i64,
}

fn read(row: &QueryResult) -> Result<Entry> {
    Ok(Entry {
        name: get(row, "name")?,
        digest: get(row, "digest")?,
        updated: get(row, "updated")?,
    })
}

/// One entrypoint.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    name: &EntrypointName,
) -> Result<Option<Entry>> {
    let mut sql = Sql::new("SELECT name, digest, updated FROM entrypoints WHERE name = ");
    sql.bind(name.to_string());
    sql.one(db).await?.as_ref().map(read).transpose()
}

/// Entrypoints after `after`, by name; of one application or version, or of all.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    application: Option<&str>,
    version: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<Entry>> {
    let mut sql = Sql::new("SELECT name, digest, updated FROM entrypoints WHERE name > ");
    sql.bind(after);
    if let Some(application) = application {
        sql.push(" AND application = ").bind(application);
    }
    if let Some(version) = version {
        sql.push(" AND version = ").bind(version);
    }
    sql.push(" ORDER BY name LIMIT ").bind(limit);
    sql.all(db).await?.iter().map(read).collect()
}

/// Definitions, by digest.
pub(crate) async fn definition(db: &impl ConnectionTrait, digest: &str) -> Result<Option<Vec<u8>>> {
    let mut sql = Sql::new("SELECT body FROM definitions WHERE digest = ");
    sql.bind(digest);
    sql.one(db).await?.map(|row| get(&row, "body")).transpose()
}

/// Stores definitions that are not there yet.
pub(crate) async fn define(
    db: &impl ConnectionTrait,
    definitions: &[(String, Vec<u8>)],
) -> Result<()> {
    for chunk in definitions.chunks(MAX_VARIABLES / 2) {
        let mut sql = Sql::new("INSERT INTO definitions (digest, body) VALUES ");
        sql.rows(
            chunk
                .iter()
                .map(|(digest, body)| vec![digest.clone().into(), body.clone().into()]),
        );
        sql.push(" ON CONFLICT DO NOTHING");
        sql.execute(db).await?;
    }
    Ok(())
}

/// Adds entrypoints, or replaces them.
pub(crate) async fn put(
    db: &impl ConnectionTrait,
    entries: &[(EntrypointName, Entry)],
) -> Result<()> {
    for chunk in entries.chunks(MAX_VARIABLES / 5) {
        let mut sql = Sql::new(
            "INSERT INTO entrypoints (name, application, version, digest, updated) VALUES ",
        );
        sql.rows(chunk.iter().map(|(name, entry)| {
            vec![
                entry.name.clone().into(),
                name.application.clone().into(),
                name.version.clone().into(),
                entry.digest.clone().into(),
                entry.updated.into(),
            ]
        }));
        sql.push(" ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, updated = excluded.updated");
        sql.execute(db).await?;
    }
    Ok(())
}

/// Removes entrypoints; their definitions stay, for the jobs that have them.
pub(crate) async fn remove(db: &impl ConnectionTrait, names: &[String]) -> Result<()> {
    for chunk in names.chunks(MAX_VARIABLES) {
        let mut sql = Sql::new("DELETE FROM entrypoints WHERE name IN (");
        sql.list(chunk.iter().map(|name| name.clone().into()))
            .push(")");
        sql.execute(db).await?;
    }
    Ok(())
}
