//! Where consumers of the event stream stand.

use granary_core::Result;
use granary_runtime::db::{
    Db, commit,
    sql::{Row, Sql, values},
};

pub(super) async fn get(db: &Db, consumer: &str) -> Result<Option<String>> {
    let mut sql = Sql::new(db.backend(), "SELECT token FROM cursors WHERE consumer = ");
    sql.bind(consumer);
    sql.first(db.reader(), Row::get).await
}

pub(super) async fn set(db: &Db, consumer: &str, token: &str) -> Result<()> {
    let mut sql = Sql::new(
        db.backend(),
        "INSERT INTO cursors (consumer, token) VALUES ",
    );
    sql.tuple(values![consumer, token])
        .push(" ON CONFLICT (consumer) DO UPDATE SET token = excluded.token");
    let tx = db.begin().await?;
    sql.run(&tx).await?;
    commit(tx).await
}
