//! Queries on uploads, each for many calls at once.

use std::collections::{BTreeMap, HashMap};

use granary_core::{Result, name::UploadName};
use granary_runtime::db::{
    Db, MAX_VARIABLES, commit,
    sql::{Sql, values},
};
use sea_orm::Value;

use super::{
    Swap,
    row::{COLUMN_COUNT, COLUMNS, Row, State},
};

fn columns(name: &UploadName) -> [Value; 3] {
    values![
        name.project.as_str(),
        name.dataset.as_str(),
        name.upload.as_str()
    ]
}

/// Adds the condition that a row is one of these uploads, at least one.
fn among(sql: &mut Sql, names: &[UploadName]) {
    sql.push("(project, dataset, upload) IN (VALUES ")
        .tuples(names, columns)
        .push(")");
}

// A row that is there is renewed. It keeps its multipart upload as long as its content is the same; another one's is to be aborted.
const RENEW: &str = " ON CONFLICT (project, dataset, upload) DO UPDATE SET
    replaced_id = CASE WHEN uploads.sha256 = excluded.sha256 AND uploads.size_bytes = excluded.size_bytes THEN uploads.replaced_id
        ELSE COALESCE(uploads.multipart_id, uploads.replaced_id) END,
    state = excluded.state, expire_time = excluded.expire_time, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
    media_type = excluded.media_type, part_size = excluded.part_size, bucket = excluded.bucket, object_key = excluded.object_key,
    multipart_id = CASE WHEN uploads.sha256 = excluded.sha256 AND uploads.size_bytes = excluded.size_bytes AND uploads.part_size = excluded.part_size
        THEN uploads.multipart_id END";

pub(super) async fn save(db: Db, calls: Vec<Vec<Row>>) -> Result<Vec<Result<Vec<Row>>>> {
    // One statement may touch a row once only, and all transactions take rows in the same order.
    let rows: BTreeMap<UploadName, &Row> = calls
        .iter()
        .flatten()
        .map(|row| (row.name.clone(), row))
        .collect();
    let rows: Vec<&Row> = rows.into_values().collect();
    let mut saved = HashMap::with_capacity(rows.len());
    let tx = db.begin().await?;
    for chunk in rows.chunks(MAX_VARIABLES / COLUMN_COUNT) {
        let mut sql = Sql::new(db.backend(), "INSERT INTO uploads (");
        sql.push(COLUMNS).push(") VALUES ");
        sql.tuples(chunk, |row| row.values());
        sql.push(RENEW).push(" RETURNING ").push(COLUMNS);
        let rows = sql.all(&tx, Row::read).await?;
        saved.extend(rows.into_iter().map(|row| (row.name.clone(), row)));
    }
    commit(tx).await?;
    let answer = |rows: Vec<Row>| {
        Ok(rows
            .into_iter()
            .map(|row| saved.get(&row.name).cloned().unwrap_or(row))
            .collect())
    };
    Ok(calls.into_iter().map(answer).collect())
}

pub(super) async fn load(
    db: Db,
    calls: Vec<Vec<UploadName>>,
) -> Result<Vec<Result<Vec<Option<Row>>>>> {
    let names: Vec<UploadName> = calls.iter().flatten().cloned().collect();
    let mut found = HashMap::with_capacity(names.len());
    for chunk in names.chunks(MAX_VARIABLES / 3) {
        let mut sql = Sql::new(db.backend(), "SELECT ");
        sql.push(COLUMNS).push(" FROM uploads WHERE ");
        among(&mut sql, chunk);
        let rows = sql.all(db.reader(), Row::read).await?;
        found.extend(rows.into_iter().map(|row| (row.name.clone(), row)));
    }
    let answer =
        |names: Vec<UploadName>| Ok(names.iter().map(|name| found.get(name).cloned()).collect());
    Ok(calls.into_iter().map(answer).collect())
}

pub(super) async fn finish(db: Db, calls: Vec<Vec<UploadName>>) -> Result<Vec<Result<()>>> {
    let mut names: Vec<UploadName> = calls.iter().flatten().cloned().collect();
    names.sort_unstable();
    let tx = db.begin().await?;
    for chunk in names.chunks(MAX_VARIABLES / 3) {
        let mut sql = Sql::new(db.backend(), "UPDATE uploads SET state = ");
        sql.bind(State::Completed.code())
            .push(", multipart_id = NULL WHERE ");
        among(&mut sql, chunk);
        sql.run(&tx).await?;
    }
    commit(tx).await?;
    Ok(calls.into_iter().map(|_| Ok(())).collect())
}

pub(super) async fn swap(db: Db, calls: Vec<Swap>) -> Result<Vec<Result<bool>>> {
    let mut ordered: Vec<(usize, Swap)> = calls.into_iter().enumerate().collect();
    ordered.sort_unstable_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    let mut results: Vec<Result<bool>> = ordered.iter().map(|_| Ok(false)).collect();
    let tx = db.begin().await?;
    for (index, swap) in ordered {
        let mut sql = Sql::new(db.backend(), "UPDATE uploads SET multipart_id = ");
        sql.bind(swap.new).push(" WHERE ");
        among(&mut sql, std::slice::from_ref(&swap.name));
        sql.push(" AND COALESCE(multipart_id, '') = ")
            .bind(swap.old.unwrap_or_default());
        let done = sql.run(&tx).await?;
        if let Some(result) = results.get_mut(index) {
            *result = Ok(done == 1);
        }
    }
    commit(tx).await?;
    Ok(results)
}

/// Notes that the multipart upload of earlier content is aborted.
pub(super) async fn aborted(db: &Db, name: &UploadName, id: &str) -> Result<()> {
    let tx = db.begin().await?;
    let mut sql = Sql::new(
        db.backend(),
        "UPDATE uploads SET replaced_id = NULL WHERE replaced_id = ",
    );
    sql.bind(id).push(" AND ");
    among(&mut sql, std::slice::from_ref(name));
    sql.run(&tx).await?;
    commit(tx).await
}

pub(super) async fn expired(
    db: &Db,
    now: i64,
    after: Option<&Row>,
    limit: u32,
) -> Result<Vec<Row>> {
    let mut sql = Sql::new(db.backend(), "SELECT ");
    sql.push(COLUMNS)
        .push(" FROM uploads WHERE state = 1 AND expire_time < ")
        .bind(now);
    if let Some(row) = after {
        let [project, dataset, upload] = columns(&row.name);
        sql.push(" AND (expire_time, project, dataset, upload) > ")
            .tuple(values![row.expires, project, dataset, upload]);
    }
    sql.push(" ORDER BY expire_time, project, dataset, upload LIMIT ")
        .bind(i64::from(limit));
    sql.all(db.reader(), Row::read).await
}

pub(super) async fn forget(db: &Db, names: &[UploadName], now: i64) -> Result<()> {
    let tx = db.begin().await?;
    for chunk in names.chunks(MAX_VARIABLES / 3 - 1) {
        let mut sql = Sql::new(db.backend(), "DELETE FROM uploads WHERE ");
        among(&mut sql, chunk);
        sql.push(" AND state = 1 AND expire_time < ").bind(now);
        sql.run(&tx).await?;
    }
    commit(tx).await
}
