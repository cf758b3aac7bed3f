//! Definitions and their versions, runs, the queue of sessions, results, the cache, and where the event stream stands.

use sea_orm_migration::prelude::{
    ConnectionTrait as _, DbErr, DeriveMigrationName, MigrationTrait, SchemaManager, async_trait,
};
use sea_orm_migration::sea_orm::DbBackend;

/// This step.
#[derive(DeriveMigrationName, Debug)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Ids and paths are compared byte by byte on both databases, so that pages do not depend on a locale.
        let (text, blob, by_key) = match manager.get_database_backend() {
            DbBackend::Postgres => ("TEXT COLLATE \"C\"", "BYTEA", ""),
            _ => ("TEXT", "BLOB", " WITHOUT ROWID"),
        };
        for table in TABLES {
            let sql = table
                .replace("{text}", text)
                .replace("{blob}", blob)
                .replace("{by_key}", by_key);
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

const TABLES: [&str; 14] = [
    "CREATE TABLE pipelines (
        project {text} NOT NULL, pipeline {text} NOT NULL, version BIGINT NOT NULL, dataset {text} NOT NULL, outputs {text} NOT NULL,
        digest {text} NOT NULL, definition {blob} NOT NULL, create_time BIGINT NOT NULL, update_time BIGINT NOT NULL,
        PRIMARY KEY (project, pipeline))",
    "CREATE INDEX pipelines_by_dataset ON pipelines (project, dataset)",
    "CREATE TABLE pipeline_versions (
        project {text} NOT NULL, pipeline {text} NOT NULL, version BIGINT NOT NULL, digest {text} NOT NULL, definition {blob} NOT NULL,
        create_time BIGINT NOT NULL,
        PRIMARY KEY (project, pipeline, version))",
    "CREATE TABLE runs (
        id {text} NOT NULL PRIMARY KEY, project {text} NOT NULL, pipeline {text} NOT NULL, version BIGINT NOT NULL, session {text} NOT NULL,
        state BIGINT NOT NULL, asset_count BIGINT NOT NULL, done_count BIGINT NOT NULL, rejected_count BIGINT NOT NULL,
        cached_count BIGINT NOT NULL, worked_count BIGINT NOT NULL, error {text} NOT NULL, create_time BIGINT NOT NULL,
        start_time BIGINT NOT NULL, finish_time BIGINT NOT NULL, trace {text} NOT NULL)",
    "CREATE UNIQUE INDEX runs_once ON runs (project, pipeline, session, version)",
    "CREATE INDEX runs_by_project ON runs (project, id)",
    "CREATE INDEX runs_by_pipeline ON runs (project, pipeline, id)",
    "CREATE INDEX runs_by_session ON runs (session, id)",
    // `due`: when it may be taken; the end of the lease while somebody works on it, the end of a pause after a failure.
    "CREATE TABLE works (
        session {text} NOT NULL PRIMARY KEY, state BIGINT NOT NULL, due BIGINT NOT NULL, lease BIGINT NOT NULL, owner {text} NOT NULL,
        attempts BIGINT NOT NULL, strikes BIGINT NOT NULL, create_time BIGINT NOT NULL, trace {text} NOT NULL)",
    "CREATE INDEX works_due ON works (due) WHERE state = 0",
    // One row for an asset in a run, with what all of the steps found, since it is written and read together.
    "CREATE TABLE results (
        run {text} NOT NULL, asset {text} NOT NULL, path {text} NOT NULL, failed BIGINT NOT NULL, rejected BIGINT NOT NULL,
        cached BIGINT NOT NULL, worked BIGINT NOT NULL, steps {text} NOT NULL,
        PRIMARY KEY (run, asset)){by_key}",
    "CREATE INDEX results_failed ON results (run, asset) WHERE failed = 1",
    // One row for a content, with what each kind of step found, by the step's digest.
    "CREATE TABLE cache (
        project {text} NOT NULL, sha256 {text} NOT NULL, steps {text} NOT NULL, update_time BIGINT NOT NULL,
        PRIMARY KEY (project, sha256)){by_key}",
    "CREATE TABLE cursors (name {text} NOT NULL PRIMARY KEY, token {text} NOT NULL)",
];
