//! The outbox of events, which stream it is, and the requests that were answered.

use sea_orm_migration::{MigrationTrait, SchemaManager, async_trait::async_trait, sea_orm::DbErr};

pub(super) struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000002_events"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE events (
        seq {sequence},
        project {text} NOT NULL, type {text} NOT NULL, resource {text} NOT NULL, created BIGINT NOT NULL,
        trace {text} NOT NULL DEFAULT ''
    )",
    "CREATE INDEX events_of_project ON events (project, seq)",
    "CREATE TABLE streams (stream {text} NOT NULL PRIMARY KEY)",
    "CREATE TABLE requests (
        project {text} NOT NULL, method {text} NOT NULL, request {text} NOT NULL,
        resource {text} NOT NULL, created BIGINT NOT NULL,
        PRIMARY KEY (project, method, request)
    ){clustered}",
    "CREATE INDEX requests_oldest ON requests (created)",
];
