//! What waits for a verdict.

use granary_core::Result;
use granary_runtime::db::Db;

use super::{get, one};

/// Sessions that completed and have no verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) queued: i64,
    pub(crate) running: i64,
    /// When the oldest of them was queued.
    pub(crate) since: Option<i64>,
}

/// Counts them: an index has no others. Whose lease has ended waits.
pub(crate) async fn count(db: &Db, now: i64) -> Result<Waiting> {
    let row = one(
        db.reader(),
        "SELECT COUNT(*) AS waiting, COUNT(CASE WHEN owner <> '' AND due > $1 THEN 1 END) AS running, MIN(create_time) AS since
         FROM works WHERE state = 0",
        vec![now.into()],
    )
    .await?;
    let Some(row) = row else {
        return Ok(Waiting::default());
    };
    let running = get(&row, "running")?;
    Ok(Waiting {
        queued: get::<i64>(&row, "waiting")? - running,
        running,
        since: get(&row, "since")?,
    })
}
