//! Brings a schema up to date, once, whoever starts at the same time.

use std::collections::HashSet;

use granary_core::{Error, Result};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait};
use sea_orm_migration::MigratorTrait;

use super::db_err;

// Any number will do that nothing else locks.
const LOCK: i64 = 0x67_7261_6e61_7279;

pub(super) async fn run<M: MigratorTrait>(
    connection: &DatabaseConnection,
    service: &str,
) -> Result<()> {
    if connection.get_database_backend() == DbBackend::Postgres {
        let lock = connection.begin().await.map_err(db_err)?;
        // It waits for whoever migrates now, and says nothing itself while it does.
        lock.execute_unprepared(
            "SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
        )
        .await
        .map_err(db_err)?;
        lock.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
            .await
            .map_err(db_err)?;
        apply::<M>(connection, service).await?;
        return lock.commit().await.map_err(db_err);
    }
    apply::<M>(connection, service).await
}

async fn apply<M: MigratorTrait>(connection: &DatabaseConnection, service: &str) -> Result<()> {
    M::install(connection).await.map_err(db_err)?;
    let known: HashSet<String> = M::migrations()
        .iter()
        .map(|m| m.name().to_owned())
        .collect();
    let statement = Statement::from_string(
        connection.get_database_backend(),
        "SELECT version FROM seaql_migrations ORDER BY version",
    );
    for row in connection.query_all_raw(statement).await.map_err(db_err)? {
        let version: String = row.try_get("", "version").map_err(db_err)?;
        if !known.contains(&version) {
            return Err(Error::precondition(
                format!("the {service} database"),
                format!(
                    "a newer version of granary wrote it (it knows {version}): start that version, or restore a backup"
                ),
            ));
        }
    }
    M::up(connection, None).await.map_err(db_err)
}
