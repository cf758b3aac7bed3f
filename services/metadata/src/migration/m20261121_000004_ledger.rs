//! The audit log, and the ledger of what projects hold, use and may.
//!
//! What a project holds stands in its account, whose row is locked by whoever changes it; what was added is counted by day too, so that what
//! was held at the end of any day is the sum up to it. Ids of records that were counted are kept until none of them can come again.

use sea_orm_migration::{MigrationTrait, SchemaManager, async_trait::async_trait, sea_orm::DbErr};

pub(super) struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000004_ledger"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE accounts (
        project {text} NOT NULL PRIMARY KEY,
        bytes BIGINT NOT NULL DEFAULT 0, objects BIGINT NOT NULL DEFAULT 0,
        max_bytes BIGINT NOT NULL DEFAULT 0, max_objects BIGINT NOT NULL DEFAULT 0, max_daily_requests BIGINT NOT NULL DEFAULT 0,
        max_daily_job_seconds BIGINT NOT NULL DEFAULT 0, max_concurrent_jobs BIGINT NOT NULL DEFAULT 0
    )",
    "INSERT INTO accounts (project, bytes, objects)
        SELECT project, CAST(SUM(size_bytes) AS BIGINT), COUNT(*) FROM assets GROUP BY project",
    "CREATE TABLE usage_days (
        project {text} NOT NULL, day BIGINT NOT NULL,
        added_bytes BIGINT NOT NULL, added_objects BIGINT NOT NULL, requests BIGINT NOT NULL, job_seconds BIGINT NOT NULL,
        PRIMARY KEY (project, day)
    ){clustered}",
    "INSERT INTO usage_days (project, day, added_bytes, added_objects, requests, job_seconds)
        SELECT project, created / 86400000000, CAST(SUM(size_bytes) AS BIGINT), COUNT(*), 0, 0 FROM assets
        GROUP BY project, created / 86400000000",
    "CREATE TABLE usage_records (id {text} NOT NULL PRIMARY KEY, expires BIGINT NOT NULL){clustered}",
    "CREATE INDEX usage_records_oldest ON usage_records (expires)",
    "CREATE TABLE audit_entries (
        time BIGINT NOT NULL, id {text} NOT NULL,
        project {text} NOT NULL, home {text} NOT NULL, subject {text} NOT NULL, issuer {text} NOT NULL, on_behalf_of {text} NOT NULL,
        method {text} NOT NULL, resource {text} NOT NULL, items BIGINT NOT NULL, verdict BIGINT NOT NULL, code BIGINT NOT NULL, latency BIGINT NOT NULL,
        request {text} NOT NULL, address {text} NOT NULL,
        PRIMARY KEY (time, id)
    ){clustered}",
    "CREATE INDEX audit_entries_project ON audit_entries (project, time, id)",
    "CREATE INDEX audit_entries_project_subject ON audit_entries (project, subject, time, id)",
    "CREATE INDEX audit_entries_subject ON audit_entries (subject, time, id)",
    // Few calls of API keys are about no project, or about one that is not theirs.
    "CREATE INDEX audit_entries_home ON audit_entries (home, time, id) WHERE home <> ''",
    "CREATE INDEX audit_entries_home_subject ON audit_entries (home, subject, time, id) WHERE home <> ''",
    "CREATE INDEX audit_entries_home_verdict ON audit_entries (home, verdict, time, id) WHERE home <> '' AND verdict > 1",
    // Few calls are refused or fail.
    "CREATE INDEX audit_entries_project_verdict ON audit_entries (project, verdict, time, id) WHERE verdict > 1",
    "CREATE INDEX audit_entries_verdict ON audit_entries (verdict, time, id) WHERE verdict > 1",
];

#[cfg(test)]
mod tests {
    use granary_runtime::db::sql::{Row, Sql};
    use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
    use sea_orm_migration::MigratorTrait as _;

    use crate::migration::Migrator;

    async fn numbers(db: &DatabaseConnection, query: &'static str) -> Vec<(String, i64, i64)> {
        let read = |row: &mut Row| Ok((row.get()?, row.get()?, row.get()?));
        Sql::new(db.get_database_backend(), query)
            .all(db, read)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn what_was_there_before_the_ledger_is_in_it() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        Migrator::up(&db, Some(3)).await.unwrap();
        let day = 86_400_000_000_i64;
        for (asset, project, size, created) in [
            ("a", "p", 10, 5),
            ("b", "p", 20, day - 1),
            ("c", "p", 3, day),
            ("d", "q", 7, 2 * day + 1),
        ] {
            let text = format!(
                "INSERT INTO assets VALUES ('{project}', 'd', '{asset}', 's', '{asset}', '', {size}, '', '', '', '', '', '', {created}, 0)"
            );
            db.execute_unprepared(&text).await.unwrap();
        }
        Migrator::up(&db, None).await.unwrap();
        let held = "SELECT project, bytes, objects FROM accounts ORDER BY project";
        assert_eq!(
            numbers(&db, held).await,
            [("p".into(), 33, 3), ("q".into(), 7, 1)]
        );
        let added = "SELECT project || day, added_bytes, added_objects FROM usage_days ORDER BY project, day";
        let expected = [
            ("p0".into(), 30, 2),
            ("p1".into(), 3, 1),
            ("q2".into(), 7, 1),
        ];
        assert_eq!(numbers(&db, added).await, expected);
    }
}
