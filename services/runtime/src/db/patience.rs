//! What to do when the database is gone without a word, as when its machine stops. The client's end of a connection to PostgreSQL has no keep-alive:
//! a query on such a connection would wait until TCP gives up, some 15 minutes, or for ever.

use std::time::Duration;

use granary_core::{Error, Result};
use sea_orm::sqlx::{self, Connection as _, PgConnection};
use tokio::time::timeout;

/// How long one round of work in the background may take: longer than any lock is waited for, which is 20 seconds.
const ROUND: Duration = Duration::from_secs(30);
/// How long what was given up may still take until its connection is free for others: they wait for it.
const RELEASE: Duration = Duration::from_secs(2);

/// Does one round of work in the background, such as a loop repeats. Fails with [`Error::Unavailable`] if it takes longer than half a minute; it is
/// then given up wherever it is.
pub async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(ROUND, work).await.unwrap_or_else(|_| {
        Err(Error::Unavailable {
            reason: "the database does not answer in time".into(),
            cause: None,
        })
    })
}

/// Whether a connection that comes back to the pool can be given to others: not if what was given up on it does not end. It would keep its place in
/// the pool for as long as TCP tries.
pub(super) async fn reusable(connection: &mut PgConnection) -> sqlx::Result<bool> {
    match timeout(RELEASE, connection.flush()).await {
        Ok(flushed) => flushed.map(|()| true),
        // An error, so that it is closed without a farewell, which nobody would take.
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use sea_orm::sqlx::Executor as _;
    use tokio::time::Instant;

    use super::*;
    use crate::db::{
        Db, POOL,
        testing::{self, Nothing, Proxy},
    };

    #[tokio::test(start_paused = true)]
    async fn a_round_that_does_not_end_is_given_up() {
        let begun = Instant::now();
        let given_up = in_time(std::future::pending::<Result<()>>()).await;
        assert!(matches!(given_up, Err(Error::Unavailable { .. })));
        assert_eq!(begun.elapsed(), ROUND);
        assert!(matches!(in_time(async { Ok(7) }).await, Ok(7)));
    }

    #[tokio::test]
    async fn connections_that_are_lost_without_a_word_leave_the_pool() {
        let Some(url) = testing::postgres() else {
            return;
        };
        let (proxy, url) = Proxy::before(&url).await;
        let db = Db::open::<Nothing>(&url, "patience_test").await.unwrap();
        let pool = db.writer.get_postgres_connection_pool();
        let mut all = Vec::new();
        for _ in 0..POOL {
            all.push(pool.acquire().await.unwrap());
        }
        proxy.fall_silent();
        for connection in &mut all {
            let asked = connection.execute("SELECT 1").now_or_never();
            assert!(asked.is_none());
        }
        drop(all);
        db.check().await.unwrap();
    }
}
