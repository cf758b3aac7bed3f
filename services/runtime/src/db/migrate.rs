//! Brings a schema up to date, once, whoever starts at the same time.

use std::collections::HashSet;

use granary_core::{Error, Result};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TransactionTrait};
use sea_orm_migration::{IntoSchemaManagerConnection, MigratorTrait, SchemaManager};

use super::db_err;

/// How the names of migrations end that the version before can work with: they only add. What they make superfluous is removed a version later. So
/// that, while a new version comes, or when it is taken back, the one before still starts.
const EXPANDS: &str = "_expand";
// Any number will do that nothing else locks.
const LOCK: i64 = 0x67_7261_6e61_7279;

pub(super) async fn run<M: MigratorTrait>(
    connection: &DatabaseConnection,
    service: &str,
) -> Result<()> {
    if connection.get_database_backend() == DbBackend::Postgres {
        let lock = connection.begin().await.map_err(db_err)?;
        // It waits for whoever migrates now, and says nothing itself while it does.
        lock.execute_unprepared(
            "SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
        )
        .await
        .map_err(db_err)?;
        lock.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
            .await
            .map_err(db_err)?;
        apply::<M, _>(connection, service).await?;
        return lock.commit().await.map_err(db_err);
    }
    // All of it or nothing: who dies in the middle leaves no half of a schema behind. In PostgreSQL migrations see to that themselves.
    let tx = connection.begin().await.map_err(db_err)?;
    apply::<M, _>(&tx, service).await?;
    tx.commit().await.map_err(db_err)
}

/// Whether a schema is that of this version, or one that a newer version only added to.
pub(super) async fn is_current<M: MigratorTrait>(
    connection: &DatabaseConnection,
    service: &str,
) -> Result<bool> {
    let schema = SchemaManager::new(connection);
    let has_table = schema.has_table("seaql_migrations").await;
    if !has_table.map_err(db_err)? {
        return Ok(false);
    }
    let applied = applied::<M>(connection, service).await?;
    Ok(applied.known == M::migrations().len())
}

async fn apply<'c, M, C>(connection: &'c C, service: &str) -> Result<()>
where
    M: MigratorTrait,
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    M::install(connection).await.map_err(db_err)?;
    let applied = applied::<M>(connection, service).await?;
    // A newer version, whose migrations these were too, has left nothing to do.
    if applied.newer && applied.known == M::migrations().len() {
        tracing::info!(service, "a newer version has added to the schema");
        return Ok(());
    }
    M::up(connection, None).await.map_err(db_err)
}

/// What was done to a schema.
#[derive(Default)]
struct Applied {
    /// How many of the migrations of this version.
    known: usize,
    /// Whether others too.
    newer: bool,
}

async fn applied<M: MigratorTrait>(
    connection: &impl ConnectionTrait,
    service: &str,
) -> Result<Applied> {
    let known: HashSet<String> = M::migrations()
        .iter()
        .map(|m| m.name().to_owned())
        .collect();
    let statement = Statement::from_string(
        connection.get_database_backend(),
        "SELECT version FROM seaql_migrations ORDER BY version",
    );
    let mut applied = Applied::default();
    for row in connection.query_all_raw(statement).await.map_err(db_err)? {
        let version: String = row.try_get("", "version").map_err(db_err)?;
        applied.known += usize::from(known.contains(&version));
        applied.newer |= !known.contains(&version);
        if !known.contains(&version) && !version.ends_with(EXPANDS) {
            return Err(Error::precondition(
                format!("the {service} database"),
                format!(
                    "a newer version of granary wrote it (it knows {version}): start that version, or restore a backup"
                ),
            ));
        }
    }
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use sea_orm_migration::{
        MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait,
    };

    use super::*;
    use crate::db::{DatabaseUrl, Db};

    struct Step(&'static str);

    /// Makes a table, and may fail after that.
    struct Table {
        is_done: bool,
    }

    impl MigrationName for Table {
        fn name(&self) -> &str {
            "m1_table"
        }
    }

    #[async_trait]
    impl MigrationTrait for Table {
        async fn up(&self, manager: &SchemaManager) -> Result<(), sea_orm::DbErr> {
            let connection = manager.get_connection();
            connection
                .execute_unprepared("CREATE TABLE one (x)")
                .await?;
            match self.is_done {
                true => Ok(()),
                false => Err(sea_orm::DbErr::Custom("gone".into())),
            }
        }
    }

    struct Table1<const DONE: bool>;

    impl<const DONE: bool> MigratorTrait for Table1<DONE> {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            vec![Box::new(Table { is_done: DONE })]
        }
    }

    #[tokio::test]
    async fn who_ends_in_the_middle_leaves_nothing_in_the_way_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().to_owned());
        Db::open::<Table1<false>>(&url, "test").await.unwrap_err();
        Db::open::<Table1<true>>(&url, "test").await.unwrap();
    }

    impl MigrationName for Step {
        fn name(&self) -> &str {
            self.0
        }
    }

    #[async_trait]
    impl MigrationTrait for Step {
        async fn up(&self, _: &SchemaManager) -> Result<(), sea_orm::DbErr> {
            Ok(())
        }
    }

    macro_rules! version {
        ($name:ident: $($step:literal),+) => {
            struct $name;

            impl MigratorTrait for $name {
                fn migrations() -> Vec<Box<dyn MigrationTrait>> {
                    vec![$(Box::new(Step($step))),+]
                }
            }
        };
    }

    version!(First: "m1_all");
    version!(Second: "m1_all", "m2_column_expand");
    version!(Third: "m1_all", "m2_column_expand", "m3_column_gone");

    #[tokio::test]
    async fn the_version_before_goes_on_with_a_schema_that_was_only_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().to_owned());
        Db::open::<First>(&url, "test").await.unwrap();
        Db::open::<Second>(&url, "test").await.unwrap();
        Db::open::<First>(&url, "test").await.unwrap();
        Db::open::<Third>(&url, "test").await.unwrap();
        for _ in 0..2 {
            let error = Db::open::<Second>(&url, "test").await.unwrap_err();
            assert!(error.to_string().contains("newer version"), "{error}");
        }
        Db::open::<Third>(&url, "test").await.unwrap();
    }
    #[tokio::test]
    async fn who_only_looks_makes_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("db"));
        let none = Db::existing::<First>(&url, "test").await.unwrap();
        assert!(none.is_none() && !folder.path().join("db").exists());
        Db::open::<First>(&url, "test").await.unwrap();
        for _ in 0..2 {
            let error = Db::existing::<Second>(&url, "test").await.unwrap_err();
            let said = error.to_string();
            assert!(said.contains("granary admin migrate"), "{said}");
        }
        let found = Db::existing::<First>(&url, "test").await.unwrap();
        assert!(found.is_some());
        Db::open::<Second>(&url, "test").await.unwrap();
        let found = Db::existing::<First>(&url, "test").await.unwrap();
        assert!(found.is_some());
    }
}
