//! The table of what programs wrote.

use granary_core::Result;
use granary_runtime::db::sql::{Sql, insert, values};
use sea_orm::ConnectionTrait;

/// The most bytes of one piece.
pub(crate) const MAX_PIECE: usize = 256 * 1024;
/// How many bytes of an attempt are kept at least; the oldest pieces go first.
pub(crate) const KEPT: i64 = 16 * 1024 * 1024;

/// A piece of an attempt's log.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub job: i64,
    pub attempt: i64,
    pub start: i64,
    pub data: Vec<u8>,
}

/// Adds pieces.
pub(crate) async fn append(db: &impl ConnectionTrait, pieces: &[Piece]) -> Result<()> {
    let head = "INSERT INTO log_pieces (job, attempt, start, data) VALUES ";
    let row = |piece: &Piece| values![piece.job, piece.attempt, piece.start, piece.data.clone()];
    insert(db, head, pieces, row, " ON CONFLICT DO NOTHING").await
}

/// Drops the pieces that begin before `cut`.
pub(crate) async fn trim(
    db: &impl ConnectionTrait,
    job: i64,
    attempt: i64,
    cut: i64,
) -> Result<()> {
    let mut sql = Sql::new(
        db.get_database_backend(),
        "DELETE FROM log_pieces WHERE job = ",
    );
    sql.bind(job)
        .push(" AND attempt = ")
        .bind(attempt)
        .push(" AND start < ")
        .bind(cut);
    sql.run(db).await.map(drop)
}

/// The next few pieces that reach beyond `offset`, in order.
pub(crate) async fn read(
    db: &impl ConnectionTrait,
    job: i64,
    attempt: i64,
    offset: i64,
) -> Result<Vec<Piece>> {
    // A piece that holds the offset begins at most its own length before it.
    let from = offset.saturating_sub(MAX_PIECE as i64);
    let mut sql = Sql::new(
        db.get_database_backend(),
        "SELECT start, data FROM log_pieces WHERE job = ",
    );
    sql.bind(job).push(" AND attempt = ").bind(attempt);
    sql.push(" AND start > ").bind(from);
    sql.push(" AND start + LENGTH(data) > ").bind(offset);
    sql.push(" ORDER BY start LIMIT 8");
    sql.all(db, |row| {
        Ok(Piece {
            job,
            attempt,
            start: row.get()?,
            data: row.get()?,
        })
    })
    .await
}
