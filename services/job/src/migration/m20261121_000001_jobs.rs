//! Catalogue, jobs, attempts, logs and workers.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000001_jobs"
    }
}

// `{key}` grows by itself, `{text}` sorts by its bytes, `{bytes}` holds bytes.
const TABLES: &[&str] = &[
    // What entrypoints were and are: by content, so that a thousand jobs of one entrypoint share one copy, and never changed.
    "CREATE TABLE definitions (digest {text} PRIMARY KEY, body {bytes} NOT NULL)",
    "CREATE TABLE entrypoints (
        name {text} PRIMARY KEY,
        application {text} NOT NULL,
        version {text} NOT NULL,
        digest {text} NOT NULL REFERENCES definitions (digest),
        updated BIGINT NOT NULL
    )",
    "CREATE TABLE jobs (
        seq {key},
        project {text} NOT NULL,
        job {text} NOT NULL,
        request {text},
        entrypoint {text} NOT NULL,
        definition {text} NOT NULL REFERENCES definitions (digest),
        spec {bytes} NOT NULL,
        priority BIGINT NOT NULL,
        memory BIGINT NOT NULL,
        cpus DOUBLE PRECISION NOT NULL,
        gpus BIGINT NOT NULL,
        image BIGINT NOT NULL,
        state BIGINT NOT NULL,
        cancel BIGINT NOT NULL DEFAULT 0,
        lease BIGINT NOT NULL DEFAULT 0,
        attempt BIGINT NOT NULL DEFAULT 0,
        faults BIGINT NOT NULL DEFAULT 0,
        worker {text},
        avoid {text},
        ready BIGINT NOT NULL DEFAULT 0,
        expires BIGINT,
        acquired BIGINT,
        started BIGINT,
        finished BIGINT,
        log_end BIGINT NOT NULL DEFAULT 0,
        outputs {bytes} NOT NULL,
        created BIGINT NOT NULL
    )",
    "CREATE UNIQUE INDEX jobs_name ON jobs (project, job)",
    "CREATE UNIQUE INDEX jobs_request ON jobs (project, request) WHERE request IS NOT NULL",
    "CREATE INDEX jobs_list ON jobs (project, seq)",
    "CREATE INDEX jobs_list_state ON jobs (project, state, seq)",
    // The queue holds only what is queued, in the order in which it goes, with what decides whether it fits.
    "CREATE INDEX jobs_queue ON jobs (priority DESC, seq, memory, cpus, gpus, image, ready) WHERE state = 1",
    "CREATE INDEX jobs_queue_of_project ON jobs (project, priority DESC, seq) WHERE state = 1",
    "CREATE INDEX jobs_delayed ON jobs (ready) WHERE state = 1 AND ready > 0",
    "CREATE INDEX jobs_expires ON jobs (expires) WHERE expires IS NOT NULL",
    "CREATE INDEX jobs_worker ON jobs (worker) WHERE worker IS NOT NULL",
    "CREATE TABLE attempts (
        job BIGINT NOT NULL REFERENCES jobs (seq),
        number BIGINT NOT NULL,
        worker {text} NOT NULL,
        started BIGINT NOT NULL,
        finished BIGINT NOT NULL,
        failure BIGINT NOT NULL,
        message {text} NOT NULL,
        exit_code BIGINT NOT NULL,
        peak BIGINT NOT NULL,
        PRIMARY KEY (job, number)
    )",
    "CREATE TABLE log_pieces (
        job BIGINT NOT NULL REFERENCES jobs (seq),
        attempt BIGINT NOT NULL,
        start BIGINT NOT NULL,
        data {bytes} NOT NULL,
        PRIMARY KEY (job, attempt, start)
    )",
    "CREATE TABLE workers (
        name {text} PRIMARY KEY,
        subject {text} NOT NULL,
        resources {bytes} NOT NULL,
        heartbeat BIGINT NOT NULL
    )",
    "CREATE INDEX workers_subject ON workers (subject)",
    "CREATE INDEX workers_heartbeat ON workers (heartbeat)",
];

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let [key, text, bytes] = match manager.get_database_backend() {
            DbBackend::Postgres => [
                "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                "TEXT COLLATE \"C\"",
                "BYTEA",
            ],
            _ => ["INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT", "BLOB"],
        };
        for table in TABLES {
            let sql = table
                .replace("{key}", key)
                .replace("{text}", text)
                .replace("{bytes}", bytes);
            connection.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}
