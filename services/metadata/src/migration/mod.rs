//! The schema, forward only.
//!
//! Texts compare byte by byte in both databases, so that both give the same pages; in PostgreSQL that needs to be said.

mod m20261121_000001_nouns;
mod m20261121_000002_events;
mod m20261121_000003_members;
mod m20261121_000004_ledger;

use sea_orm::{ConnectionTrait as _, DbBackend};
use sea_orm_migration::{
    MigrationTrait, MigratorTrait, SchemaManager, async_trait::async_trait, sea_orm::DbErr,
};

pub(crate) struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_nouns::Migration),
            Box::new(m20261121_000002_events::Migration),
            Box::new(m20261121_000003_members::Migration),
            Box::new(m20261121_000004_ledger::Migration),
        ]
    }
}

/// Runs statements in which `{text}` is the type of a text, `{number}` of a float, `{sequence}` of a growing key, and `{clustered}` ends a
/// table that is only ever read by its key.
async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let (text, number, sequence, clustered) = match manager.get_database_backend() {
        DbBackend::Postgres => (
            "TEXT COLLATE \"C\"",
            "DOUBLE PRECISION",
            "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            "",
        ),
        _ => (
            "TEXT",
            "REAL",
            "INTEGER PRIMARY KEY AUTOINCREMENT",
            " WITHOUT ROWID",
        ),
    };
    for statement in statements {
        let statement = statement
            .replace("{text}", text)
            .replace("{number}", number)
            .replace("{sequence}", sequence)
            .replace("{clustered}", clustered);
        manager
            .get_connection()
            .execute_unprepared(&statement)
            .await?;
    }
    Ok(())
}
