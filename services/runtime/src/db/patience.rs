//! What to do when the database is gone without a word, as when its machine stops. The client's end of a connection to PostgreSQL has no keep-alive:
//! a query on such a connection would wait until TCP gives up, some 15 minutes, or for ever.

use std::time::Duration;

use granary_core::{Error, Result};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

/// How long one round of work in the background may take: longer than any lock is waited for, which is 20 seconds.
const ROUND: Duration = Duration::from_secs(30);
/// How long what was given up may still take until its connection is free for others: they wait for it.
const RELEASE: Duration = Duration::from_secs(2);
/// How long it is tried to connect anew, and how long is waited in between.
const RENEWAL: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(10);

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

/// Makes a connection that comes back to the pool one that can be given to others. If what was given up on it does not end, it would keep its place
/// in the pool for as long as TCP tries, and closing it by TLS waits as long: another one takes its place as soon as there can be one.
pub(super) async fn renew(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> sqlx::Result<bool> {
    if let Ok(flushed) = timeout(RELEASE, connection.flush()).await {
        return flushed.map(|()| true);
    }
    tracing::warn!("a connection to the database is dead: another one takes its place");
    let fresh = async {
        loop {
            match timeout(CONNECT, PgConnection::connect_with(options)).await {
                Ok(Ok(fresh)) => return fresh,
                Ok(Err(error)) => tracing::warn!(%error, "cannot connect to the database anew"),
                Err(_) => tracing::warn!("connecting to the database anew takes too long"),
            }
            sleep(AGAIN).await;
        }
    };
    // An error, so that it is closed without a farewell, which nobody would take.
    let fresh = timeout(RENEWAL, fresh).await;
    *connection = fresh.map_err(|_| sqlx::Error::PoolTimedOut)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use sqlx::Executor as _;
    use tokio::time::Instant;

    use super::*;
    use crate::db::{
        DatabaseUrl, Db, POOL,
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
    async fn connections_that_are_lost_without_a_word_make_room_for_others() {
        let Some(DatabaseUrl::Postgres(url)) = testing::postgres() else {
            return;
        };
        let plain = url.reveal();
        for url in [plain.to_owned(), format!("{plain}?sslmode=prefer")] {
            let url = DatabaseUrl::parse(&url).unwrap();
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
}
