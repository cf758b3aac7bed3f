//! Where the event stream stands.

use granary_core::Result;
use sea_orm::ConnectionTrait;

use super::{execute, get, one};

const NAME: &str = "events";

/// The token after which to go on; none before the first event.
pub(crate) async fn load<C: ConnectionTrait>(db: &C) -> Result<Option<String>> {
    let row = one(
        db,
        "SELECT token FROM cursors WHERE name = $1",
        vec![NAME.into()],
    )
    .await?;
    row.map(|row| get(&row, "token")).transpose()
}

/// Keeps the token; in the transaction of what the events caused.
pub(crate) async fn save<C: ConnectionTrait>(db: &C, token: &str) -> Result<()> {
    let sql = "INSERT INTO cursors (name, token) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET token = excluded.token";
    execute(db, sql, vec![NAME.into(), token.into()])
        .await
        .map(drop)
}
