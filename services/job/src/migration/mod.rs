//! The schema, forward only; one file for each step.

mod m20261121_000001_jobs;
mod m20261121_000002_usage;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Brings the schema up to date.
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_jobs::Migration),
            Box::new(m20261121_000002_usage::Migration),
        ]
    }
}
