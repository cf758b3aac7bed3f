//! The schema of the storage service, forward only.

mod m20261121_000001_uploads;

use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait::async_trait};

/// All migrations, the oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261121_000001_uploads::Migration)]
    }
}
