//! What projects may run, as far as it is known, and what their attempts took: by day, and on its way to the ledger.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000002_usage"
    }
}

// `{text}` sorts by its bytes.
const TABLES: &[&str] = &[
    // A project stands here from its first job on; 0 is no limit.
    "CREATE TABLE quotas (
        project {text} NOT NULL PRIMARY KEY,
        concurrent BIGINT NOT NULL DEFAULT 0,
        seconds BIGINT NOT NULL DEFAULT 0
    )",
    "INSERT INTO quotas (project) SELECT DISTINCT project FROM jobs",
    "CREATE INDEX quotas_limited ON quotas (project) WHERE concurrent > 0 OR seconds > 0",
    "CREATE TABLE usage_days (
        project {text} NOT NULL,
        day BIGINT NOT NULL,
        seconds BIGINT NOT NULL,
        PRIMARY KEY (project, day)
    )",
    // The queue as it was, with the project: jobs of projects that run all they may are passed over without being read.
    "DROP INDEX jobs_queue",
    "CREATE INDEX jobs_queue ON jobs (priority DESC, seq, project, memory, cpus, gpus, ready) WHERE state = 1",
    // Leaves when the ledger has it.
    "CREATE TABLE usage_records (
        id {text} NOT NULL PRIMARY KEY,
        project {text} NOT NULL,
        day BIGINT NOT NULL,
        seconds BIGINT NOT NULL
    )",
];

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = match manager.get_database_backend() {
            DbBackend::Postgres => "TEXT COLLATE \"C\"",
            _ => "TEXT",
        };
        for table in TABLES {
            let sql = table.replace("{text}", text);
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}
