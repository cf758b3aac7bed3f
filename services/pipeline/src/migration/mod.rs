//! The tables of this service, one file for each step that they took.

mod m20261121_000001_tables;

use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait};

/// All migrations, in order.
#[derive(Debug)]
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261121_000001_tables::Migration)]
    }
}
