//! Work that one process at a time does, of all on the same database.

use std::time::Duration;

use sea_orm::{
    DbBackend,
    sqlx::{self, Connection as _, PgConnection, Postgres, pool::PoolConnection},
};
use tokio_util::sync::CancellationToken;

use super::Db;

/// How often those who do not lead ask whether somebody has to.
const ASK: Duration = Duration::from_secs(5);
/// How often whoever leads makes sure of it.
const PING: Duration = Duration::from_secs(5);

/// Does `work`, which never ends by itself, wherever it leads, until `stop` is cancelled. `what` is a number that nothing else on the same database
/// locks. Two may lead for some seconds when the way to the database breaks: the work has to be safe to repeat.
pub async fn lead<W: Future>(db: &Db, what: i64, stop: CancellationToken, work: impl Fn() -> W) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = once(db, what, &work) => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(ASK) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Leads as long as the lock is held, if it can be had at all.
async fn once<W: Future>(db: &Db, what: i64, work: &impl Fn() -> W) {
    if db.backend() != DbBackend::Postgres {
        work().await;
        return;
    }
    let Some(mut connection) = locked(db, what).await else {
        return;
    };
    tracing::debug!(what, "leads");
    tokio::select! {
        _ = work() => {}
        () = lost(&mut connection) => tracing::warn!(what, "leads no more: the database does not answer"),
    }
    // The lock goes with the connection.
    let _ = connection.detach().close().await;
}

async fn locked(db: &Db, what: i64) -> Option<PoolConnection<Postgres>> {
    let pool = db.writer.get_postgres_connection_pool();
    let mut connection = pool.acquire().await.ok()?;
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(what)
        .fetch_one(&mut *connection)
        .await
        .ok()?;
    locked.then_some(connection)
}

async fn lost(connection: &mut PgConnection) {
    loop {
        tokio::time::sleep(PING).await;
        match tokio::time::timeout(PING, connection.ping()).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::db::DatabaseUrl;

    struct Nothing;

    impl sea_orm_migration::MigratorTrait for Nothing {
        fn migrations() -> Vec<Box<dyn sea_orm_migration::MigrationTrait>> {
            vec![]
        }
    }

    #[tokio::test]
    async fn alone_one_leads_at_once_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().to_owned());
        let db = Db::open::<Nothing>(&url, "test").await.unwrap();
        let (begun, stop) = (AtomicUsize::new(0), CancellationToken::new());
        let work = || async {
            begun.fetch_add(1, Ordering::Relaxed);
            stop.cancel();
            std::future::pending::<()>().await;
        };
        lead(&db, 1, stop.clone(), work).await;
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn of_several_processes_one_leads_and_the_next_when_it_ends() {
        #[allow(clippy::disallowed_methods, reason = "where the test's server is")]
        let Ok(url) = std::env::var("GRANARY_TEST_POSTGRES") else {
            return;
        };
        let url = DatabaseUrl::parse(&url).unwrap();
        let [a, b] = [
            Db::open::<Nothing>(&url, "lead_test").await.unwrap(),
            Db::open::<Nothing>(&url, "lead_test").await.unwrap(),
        ];
        let what = i64::from(std::process::id());
        let first = locked(&a, what).await.unwrap();
        assert!(locked(&b, what).await.is_none());
        first.detach().close().await.unwrap();
        // The server may notice a moment later that it is gone.
        while locked(&b, what).await.is_none() {
            tokio::task::yield_now().await;
        }
    }
}
