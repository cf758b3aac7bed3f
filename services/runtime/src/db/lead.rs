//! Work that one process at a time does, of all on the same database.

use std::time::Duration;

use sea_orm::{
    DbBackend,
    sqlx::{self, Connection as _, PgConnection, Postgres, pool::PoolConnection},
};
use tokio_util::sync::CancellationToken;

use super::Db;
use crate::metrics::{gauge, names::LEADER};

/// How often those who do not lead ask whether somebody has to: what is led may wait as long as that.
const ASK: Duration = Duration::from_secs(5);
/// How often whoever leads makes sure of it, and how long the database may take to answer: both together is how long two may lead.
const PING: Duration = Duration::from_secs(5);

/// What one process at a time does.
#[derive(Clone, Copy, Debug)]
pub struct Led {
    /// What it is called in metrics.
    pub task: &'static str,
    /// A number that nothing else on the same database locks.
    pub lock: i64,
}

/// Does `work`, which never ends by itself, wherever it leads, until `stop` is cancelled. Two may lead for some seconds when the way to the database
/// breaks: the work has to be safe to repeat.
pub async fn lead<W: Future>(db: &Db, what: Led, stop: CancellationToken, work: impl Fn() -> W) {
    asking(db, what, ASK, stop, work).await;
}

async fn asking<W: Future>(
    db: &Db,
    what: Led,
    ask: Duration,
    stop: CancellationToken,
    work: impl Fn() -> W,
) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = once(db, what, &work) => {}
            () = stop.cancelled() => break,
        }
        tell(what, 0.0);
        tokio::select! {
            () = tokio::time::sleep(ask) => {}
            () = stop.cancelled() => break,
        }
    }
    tell(what, 0.0);
}

fn tell(what: Led, leads: f64) {
    gauge!(LEADER, "task" => what.task).set(leads);
}

/// Says that it leads, for as long as it does: what is not said again is forgotten.
async fn say(what: Led) {
    loop {
        tell(what, 1.0);
        tokio::time::sleep(PING).await;
    }
}

/// Leads as long as the lock is held, if it can be had at all.
async fn once<W: Future>(db: &Db, what: Led, work: &impl Fn() -> W) {
    if db.backend() != DbBackend::Postgres {
        tokio::select! {
            _ = work() => {}
            () = say(what) => {}
        }
        return;
    }
    let Ok(Some(mut lock)) = tokio::time::timeout(PING, locked(db, what.lock)).await else {
        return;
    };
    tracing::debug!(task = what.task, "leads");
    tokio::select! {
        _ = work() => {}
        () = say(what) => {}
        () = lost(&mut lock.connection) => tracing::warn!(task = what.task, "leads no more: the database does not answer"),
    }
}

/// A connection that holds the lock, as far as is known. It goes with the connection, which therefore never goes back to the pool with it, wherever
/// leading or asking for it is broken off.
struct Lock {
    connection: PoolConnection<Postgres>,
    held: bool,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.held {
            self.connection.close_on_drop();
        }
    }
}

async fn locked(db: &Db, what: i64) -> Option<Lock> {
    let pool = db.writer.get_postgres_connection_pool();
    let mut lock = Lock {
        connection: pool.acquire().await.ok()?,
        held: true,
    };
    lock.held = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(what)
        .fetch_one(&mut *lock.connection)
        .await
        .ok()?;
    lock.held.then_some(lock)
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

    use tokio::sync::mpsc;

    use super::*;
    use crate::db::{
        DatabaseUrl,
        testing::{self, Nothing},
    };

    fn led(lock: i64) -> Led {
        Led { task: "test", lock }
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
        lead(&db, led(1), stop.clone(), work).await;
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn of_several_processes_one_leads_and_the_next_when_it_stops() {
        let Some(url) = testing::postgres() else {
            return;
        };
        let [a, b] = [
            Db::open::<Nothing>(&url, "lead_test").await.unwrap(),
            Db::open::<Nothing>(&url, "lead_test").await.unwrap(),
        ];
        let [stop_a, stop_b] = [(); 2].map(|()| CancellationToken::new());
        let (leading, mut leads) = mpsc::channel(16);
        let work = |name: &'static str| {
            let leading = &leading;
            move || {
                leading.try_send(name).unwrap();
                std::future::pending::<()>()
            }
        };
        let (what, ask) = (led(std::process::id().into()), Duration::from_millis(1));
        let first = asking(&a, what, ask, stop_a.clone(), work("a"));
        let others = async {
            assert_eq!(leads.recv().await, Some("a"));
            assert!(locked(&b, what.lock).await.is_none());
            let then = async {
                stop_a.cancel();
                // Its process and its pool go on.
                assert_eq!(leads.recv().await, Some("b"));
                stop_b.cancel();
            };
            tokio::join!(asking(&b, what, ask, stop_b.clone(), work("b")), then);
        };
        let all = async { tokio::join!(first, others) };
        let ended = tokio::time::timeout(Duration::from_secs(30), all).await;
        ended.expect("nobody leads");
        a.check().await.unwrap();
    }
}
