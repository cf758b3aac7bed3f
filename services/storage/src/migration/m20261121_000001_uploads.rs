//! Uploads, and where consumers of the event stream stand.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait,
    sea_orm::ConnectionTrait as _,
};

/// The migration.
#[derive(Debug)]
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000001_uploads"
    }
}

const STATEMENTS: [&str; 3] = [
    "CREATE TABLE uploads (
        project TEXT NOT NULL,
        dataset TEXT NOT NULL,
        upload TEXT NOT NULL,
        session TEXT NOT NULL,
        path TEXT NOT NULL,
        bucket TEXT NOT NULL,
        object_key TEXT NOT NULL,
        size_bytes BIGINT NOT NULL,
        sha256 TEXT NOT NULL,
        media_type TEXT NOT NULL,
        multipart_id TEXT,
        replaced_id TEXT,
        part_size BIGINT,
        state BIGINT NOT NULL,
        create_time BIGINT NOT NULL,
        expire_time BIGINT NOT NULL,
        PRIMARY KEY (project, dataset, upload)
    )",
    // Only uploads in progress ever expire, and they are few.
    "CREATE INDEX uploads_by_expiry ON uploads (expire_time) WHERE state = 1",
    "CREATE TABLE cursors (consumer TEXT NOT NULL PRIMARY KEY, token TEXT NOT NULL)",
];

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        Ok(())
    }
}
