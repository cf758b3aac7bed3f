//! Whether anything else is at the database.

use std::time::Duration;

use granary_core::{Error, Result};
use granary_runtime::db::{self, DatabaseUrl, db_err, sql::Sql};
use sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep};

use super::{Mode, SERVICE};

/// How long connections of what has just ended may take to go: as long as PostgreSQL itself waits for them where it wants a database alone.
const GOING: Duration = Duration::from_secs(5);
const ASK: Duration = Duration::from_millis(100);
/// All of Granary's connections that others than this one have to the database, by the service that they are of and by where it runs.
const OTHERS: &str = "SELECT string_agg(DISTINCT application_name || coalesce(' at ' || host(client_addr), ''), ', ') FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'granary-%'";

/// Fails with [`Error::Precondition`] if other processes of Granary are connected to a PostgreSQL, unless nothing is to be changed, or if any have the
/// file of SQLite open, which has one writer at a time. It has to be asked before this process opens the database for anything else.
pub async fn alone(database: &DatabaseUrl, mode: Mode) -> Result<()> {
    let what = match database {
        DatabaseUrl::Sqlite(folder) => (!db::is_alone(folder, SERVICE).await?)
            .then(|| "it is in use by another process: stop that one first".to_owned()),
        DatabaseUrl::Postgres(_) if mode.dry => None,
        DatabaseUrl::Postgres(url) => {
            let db = db::connect(url.reveal()).await?;
            let others = others(&db).await;
            db.close().await.map_err(db_err)?;
            others?.map(|others| {
                format!("it is in use by {others}: stop all services and workers first (with --dry-run they may run)")
            })
        }
    };
    match what {
        None => Ok(()),
        Some(what) => Err(Error::precondition("database", what)),
    }
}

/// Who else is there, once who is going has gone.
async fn others(db: &DatabaseConnection) -> Result<Option<String>> {
    let end = Instant::now() + GOING;
    loop {
        let sql = Sql::new(db.get_database_backend(), OTHERS);
        let found: Option<String> = sql.first(db, |row| row.get()).await?.flatten();
        if found.is_none() || Instant::now() >= end {
            return Ok(found);
        }
        sleep(ASK).await;
    }
}
