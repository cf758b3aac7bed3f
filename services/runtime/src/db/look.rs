//! What there is before anything is opened for good.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use granary_core::Result;
use sea_orm::{ConnectionTrait as _, Database, DbErr};
use sqlx::sqlite::SqliteLockingMode;

use super::{DatabaseUrl, connect, db_err, error::is_conflict, options, sql::Sql};

/// The file of a service in a folder.
pub(super) fn file(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.db"))
}

/// Whether a service has a database.
pub(super) async fn is_there(url: &DatabaseUrl, service: &str) -> Result<bool> {
    let url = match url {
        DatabaseUrl::Sqlite(folder) => return Ok(file(folder, service).is_file()),
        DatabaseUrl::Postgres(url) => url,
    };
    let db = connect(url.reveal()).await?;
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT 1 FROM pg_namespace WHERE nspname = ",
    );
    sql.bind(service);
    let found: Option<i32> = sql.first(&db, |row| row.get()).await?;
    db.close().await.map_err(db_err)?;
    Ok(found.is_some())
}

/// Whether nobody has the SQLite file of a service open, this process included. Where there is none, nobody has.
pub async fn is_alone(folder: &Path, service: &str) -> Result<bool> {
    let file = file(folder, service);
    if !file.is_file() {
        return Ok(true);
    }
    match hold(file).await {
        Ok(()) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(db_err(error)),
    }
}

/// Has a file for this connection alone, and lets go of it. Whoever has it open holds a lock on it until the end.
async fn hold(file: PathBuf) -> Result<(), DbErr> {
    let mut options = options("sqlite::memory:", 1);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .in_memory(false)
            .shared_cache(false)
            .filename(&file)
            .create_if_missing(false)
            .busy_timeout(Duration::from_secs(1))
            .locking_mode(SqliteLockingMode::Exclusive)
    });
    let db = Database::connect(options).await?;
    let held = db
        .execute_unprepared("BEGIN IMMEDIATE; SELECT count(*) FROM sqlite_master; ROLLBACK")
        .await;
    db.close().await?;
    held.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Db, testing::Nothing};

    #[tokio::test]
    async fn a_file_that_somebody_has_open_is_not_free() {
        let folder = tempfile::tempdir().unwrap();
        let is_free = || is_alone(folder.path(), "test");
        assert!(is_free().await.unwrap());
        assert!(!file(folder.path(), "test").exists());
        let url = DatabaseUrl::Sqlite(folder.path().to_owned());
        let db = Db::open::<Nothing>(&url, "test").await.unwrap();
        assert!(!is_free().await.unwrap());
        db.close().await.unwrap();
        assert!(is_free().await.unwrap());
        let db = Db::open::<Nothing>(&url, "test").await.unwrap();
        db.check().await.unwrap();
    }
}
