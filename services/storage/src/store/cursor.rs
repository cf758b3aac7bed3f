//! Where consumers of the event stream stand.

use granary_core::Result;
use granary_runtime::db::{Db, commit, db_err};
use sea_orm::{ConnectionTrait, Statement};

pub(super) async fn get(db: &Db, consumer: &str) -> Result<Option<String>> {
    let statement = Statement::from_sql_and_values(
        db.backend(),
        "SELECT token FROM cursors WHERE consumer = $1",
        [consumer.into()],
    );
    let row = db.reader().query_one_raw(statement).await.map_err(db_err)?;
    row.map(|row| row.try_get_by_index(0).map_err(db_err))
        .transpose()
}

pub(super) async fn set(db: &Db, consumer: &str, token: &str) -> Result<()> {
    let sql = "INSERT INTO cursors (consumer, token) VALUES ($1, $2) ON CONFLICT (consumer) DO UPDATE SET token = excluded.token";
    let tx = db.begin().await?;
    tx.execute_raw(Statement::from_sql_and_values(
        db.backend(),
        sql,
        [consumer.into(), token.into()],
    ))
    .await
    .map_err(db_err)?;
    commit(tx).await
}
