//! The database of a service: a file of its own in SQLite, a schema of its own in PostgreSQL.
//!
//! SQLite has one connection that writes and several that read; PostgreSQL one pool for both. Durable means durable: WAL with full
//! synchronisation in SQLite, PostgreSQL's own default.

mod error;
mod lead;
mod look;
mod migrate;
mod patience;
pub mod sql;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tls;
mod url;
mod wake;

use std::{path::Path, sync::Arc, time::Duration};

use granary_core::{Error, Result};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::{
    metrics::{self, gauge, names},
    task::Tasks,
};

pub use error::{db_err, is_unique_violation};
pub use lead::{Led, lead};
pub use look::is_alone;
pub use patience::in_time;
pub use url::DatabaseUrl;
pub use wake::{Heard, Wake};

/// How many variables one statement may bind, below the limits of both databases (SQLite 32,766; PostgreSQL 65,535).
pub const MAX_VARIABLES: usize = 30_000;

/// How many connections one service of one process has to PostgreSQL at most, beside the one by which it hears of others: ten in all, so that nine such
/// processes find room with a server's usual hundred.
const POOL: u32 = 9;
/// A process that stops in the middle, or whose machine is gone, must not keep what it locked from all others.
const SESSION: [(&str, &str); 6] = [
    ("idle_in_transaction_session_timeout", "10s"),
    ("lock_timeout", "20s"),
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("default_transaction_isolation", "read committed"),
];

/// The database of one service.
#[derive(Clone, Debug)]
pub struct Db {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
}

impl Db {
    /// Opens the database of a service, creates it if it is missing, and brings its schema up to date.
    ///
    /// Fails with [`Error::Precondition`] if a newer version of Granary did more to it than add.
    pub async fn open<M: MigratorTrait>(url: &DatabaseUrl, service: &str) -> Result<Self> {
        if let DatabaseUrl::Postgres(url) = url {
            make_schema(url.reveal(), service).await?;
        }
        let db = Self::connect(url, service).await?;
        migrate::run::<M>(&db.writer, service).await?;
        Ok(db)
    }

    /// Opens the database of a service as it is, and neither makes nor changes anything; none if there is none.
    ///
    /// Fails with [`Error::Precondition`] if its schema is not that of this version.
    pub async fn existing<M: MigratorTrait>(
        url: &DatabaseUrl,
        service: &str,
    ) -> Result<Option<Self>> {
        if !look::is_there(url, service).await? {
            return Ok(None);
        }
        let db = Self::connect(url, service).await?;
        if migrate::is_current::<M>(&db.writer, service).await? {
            return Ok(Some(db));
        }
        db.close().await?;
        Err(Error::precondition(
            format!("the {service} database"),
            "its schema is older than this version: run granary admin migrate first",
        ))
    }

    async fn connect(url: &DatabaseUrl, service: &str) -> Result<Self> {
        match url {
            DatabaseUrl::Sqlite(folder) => open_sqlite(folder, service).await,
            DatabaseUrl::Postgres(url) => open_postgres(url.reveal(), service).await,
        }
    }

    /// Has its connections counted whenever metrics are asked for, until the tasks stop.
    pub fn measure(&self, tasks: &Tasks, service: &'static str) {
        let db = self.clone();
        metrics::sample(tasks, move || {
            let pools = db.pools();
            async move { pools.tell(service) }
        });
    }

    fn pools(&self) -> Pools {
        match self.backend() {
            DbBackend::Postgres => Pools::of(&[self.writer.get_postgres_connection_pool()]),
            _ => Pools::of(&[
                self.writer.get_sqlite_connection_pool(),
                self.reader.get_sqlite_connection_pool(),
            ]),
        }
    }

    /// Waits until a server answers; a file is there anyway.
    pub async fn wait_for(url: &DatabaseUrl) {
        let DatabaseUrl::Postgres(url) = url else {
            return;
        };
        while let Err(error) = connect(url.reveal()).await {
            tracing::warn!(%error, "waiting for the database");
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// Which database it is.
    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// For single statements that only read.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Begins a transaction that writes; it is undone unless committed with [`commit`]. In SQLite only one runs at a time: keep it short,
    /// and await nothing but the database in it.
    pub async fn begin(&self) -> Result<DatabaseTransaction> {
        self.writer.begin().await.map_err(db_err)
    }

    /// Whether the database answers.
    pub async fn check(&self) -> Result<()> {
        self.reader
            .execute_unprepared("SELECT 1")
            .await
            .map(drop)
            .map_err(db_err)
    }

    /// Closes all connections; SQLite folds its log into the file.
    pub async fn close(self) -> Result<()> {
        self.reader.close().await.map_err(db_err)?;
        self.writer.close().await.map_err(db_err)
    }
}

/// How many connections there are.
struct Pools {
    idle: f64,
    used: f64,
    most: f64,
}

impl Pools {
    fn of<D: sqlx::Database>(pools: &[&sqlx::Pool<D>]) -> Self {
        let mut all = Self {
            idle: 0.0,
            used: 0.0,
            most: 0.0,
        };
        for pool in pools {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            all.idle += f64::from(idle);
            all.used += f64::from(pool.size().saturating_sub(idle));
            all.most += f64::from(pool.options().get_max_connections());
        }
        all
    }

    fn tell(&self, service: &'static str) {
        let connections =
            |state| gauge!(names::DB_CONNECTIONS, "service" => service, "state" => state);
        connections("used").set(self.used);
        connections("idle").set(self.idle);
        gauge!(names::DB_CONNECTIONS_MAX, "service" => service).set(self.most);
    }
}

/// Commits a transaction.
pub async fn commit(tx: DatabaseTransaction) -> Result<()> {
    tx.commit().await.map_err(db_err)
}

/// Lets only one transaction at a time go on from here, in PostgreSQL until its end; in SQLite that is so anyway. For what must be
/// numbered in the order in which it becomes visible, such as events.
pub async fn serialize(tx: &DatabaseTransaction, what: i64) -> Result<()> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({what})"))
            .await
            .map_err(db_err)?;
    }
    Ok(())
}

async fn open_sqlite(folder: &Path, service: &str) -> Result<Db> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::precondition(
            "database",
            format!("cannot create the folder {}: {error}", folder.display()),
        )
    })?;
    let file = look::file(folder, service);
    let connect = |read_only: bool, connections: u32| {
        let mut options = options("sqlite::memory:", connections);
        let file = file.clone();
        options.map_sqlx_sqlite_opts(move |sqlite| {
            use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            let sqlite = sqlite
                .in_memory(false)
                .shared_cache(false)
                .filename(&file)
                .busy_timeout(Duration::from_secs(10))
                .statement_cache_capacity(256)
                .pragma("temp_store", "memory");
            if read_only {
                return sqlite.create_if_missing(false).pragma("query_only", "on");
            }
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("cache_size", "-16000")
                // Pages that are written again and again go from the log to the file once in a while, not every few transactions.
                .pragma("wal_autocheckpoint", "8192")
                .pragma("journal_size_limit", "67108864")
        });
        Database::connect(options)
    };
    let writer = connect(false, 1).await.map_err(db_err)?;
    let reader = connect(true, 4).await.map_err(db_err)?;
    Ok(Db { writer, reader })
}

async fn make_schema(url: &str, service: &str) -> Result<()> {
    let admin = connect(url).await?;
    // Two starts at once may both find it missing; the second then fails on the catalogue's own unique index.
    let created = admin
        .execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS {service}"))
        .await;
    if let Err(error) = created
        && !is_unique_violation(&error)
    {
        return Err(db_err(error));
    }
    admin.close().await.map_err(db_err)
}

async fn open_postgres(url: &str, service: &str) -> Result<Db> {
    let session = url.parse::<PgConnectOptions>().map(|session| {
        encrypted_if_asked(session, url)
            .options(SESSION)
            .options([("search_path", service)])
            .application_name(&format!("granary-{service}"))
            .disable_statement_logging()
    });
    let session =
        Arc::new(session.map_err(|_| Error::invalid("database_url", "is no URL of PostgreSQL"))?);
    let again = session.clone();
    let mut options = options(url, POOL);
    options
        .map_sqlx_postgres_opts(move |_| PgConnectOptions::clone(&session))
        .map_sqlx_postgres_pool_opts(move |pool| {
            let session = again.clone();
            pool.after_release(move |connection, _| {
                let session = session.clone();
                Box::pin(async move { patience::renew(connection, &session).await })
            })
        });
    let pool = Database::connect(options).await.map_err(db_err)?;
    Ok(Db {
        writer: pool.clone(),
        reader: pool,
    })
}

/// One connection, which leaves the database as it is.
pub async fn connect(url: &str) -> Result<DatabaseConnection> {
    Database::connect(options(url, 1)).await.map_err(db_err)
}

fn options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        // Connections stay: what would replace old ones may count itself into a loop without end (sqlx 0.9, `num_idle` falls below 0 when one is taken
        // just as it comes back). Those that are dead are replaced when they come back to the pool.
        .idle_timeout(None)
        .max_lifetime(None)
        .sqlx_logging(false);
    let url = url.to_owned();
    options.map_sqlx_postgres_opts(move |postgres| encrypted_if_asked(postgres, &url));
    options
}

/// Connections by TLS if the URL says so: whoever wants it wants to know that it is there, and not only where a server offers it.
fn encrypted_if_asked(options: PgConnectOptions, url: &str) -> PgConnectOptions {
    match url.contains("sslmode=") || url.contains("ssl-mode=") {
        true => options,
        false => options.ssl_mode(PgSslMode::Disable),
    }
}
