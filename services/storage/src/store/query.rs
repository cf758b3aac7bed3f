//! Queries on uploads, each for many calls at once.

use std::collections::{BTreeMap, HashMap};

use granary_core::{Result, name::UploadName};
use granary_runtime::db::{Db, MAX_VARIABLES, commit, db_err};
use sea_orm::{ConnectionTrait, Statement, Value};

use super::{
    Swap,
    row::{COLUMN_COUNT, COLUMNS, Row, State},
};

type Key = (String, String, String);

fn key(name: &UploadName) -> Key {
    (
        name.project.clone(),
        name.dataset.clone(),
        name.upload.clone(),
    )
}

/// `($1, $2, $3), ($4, …)`: both databases take numbered parameters.
fn tuples(count: usize, width: usize) -> String {
    let tuple = |row: usize| {
        let parameters: Vec<String> = (1..=width)
            .map(|column| format!("${}", row * width + column))
            .collect();
        format!("({})", parameters.join(", "))
    };
    (0..count).map(tuple).collect::<Vec<_>>().join(", ")
}

fn name_values(names: &[UploadName]) -> Vec<Value> {
    names
        .iter()
        .flat_map(|name| {
            [
                name.project.as_str().into(),
                name.dataset.as_str().into(),
                name.upload.as_str().into(),
            ]
        })
        .collect()
}

/// `WHERE` for names that take the parameters from $1 on.
fn among(count: usize) -> String {
    format!(
        "(project, dataset, upload) IN (VALUES {})",
        tuples(count, 3)
    )
}

// A row that is there is renewed. It keeps its multipart upload as long as its content is the same.
const RENEW: &str = "ON CONFLICT (project, dataset, upload) DO UPDATE SET
    state = excluded.state, expire_time = excluded.expire_time, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
    media_type = excluded.media_type, part_size = excluded.part_size, bucket = excluded.bucket, object_key = excluded.object_key,
    multipart_id = CASE WHEN uploads.sha256 = excluded.sha256 AND uploads.size_bytes = excluded.size_bytes AND uploads.part_size = excluded.part_size
        THEN uploads.multipart_id END";

pub(super) async fn save(db: Db, calls: Vec<Vec<Row>>) -> Result<Vec<Result<Vec<Row>>>> {
    // One statement may touch a row once only, and all transactions take rows in the same order.
    let rows: BTreeMap<Key, &Row> = calls
        .iter()
        .flatten()
        .map(|row| (key(&row.name), row))
        .collect();
    let rows: Vec<&Row> = rows.into_values().collect();
    let mut saved = HashMap::with_capacity(rows.len());
    let tx = db.begin().await?;
    for chunk in rows.chunks(MAX_VARIABLES / COLUMN_COUNT) {
        let sql = format!(
            "INSERT INTO uploads ({COLUMNS}) VALUES {} {RENEW} RETURNING {COLUMNS}",
            tuples(chunk.len(), COLUMN_COUNT)
        );
        let values = chunk.iter().flat_map(|row| row.values());
        let statement = Statement::from_sql_and_values(db.backend(), sql, values);
        for row in tx.query_all_raw(statement).await.map_err(db_err)? {
            let row = Row::read(&row)?;
            saved.insert(key(&row.name), row);
        }
    }
    commit(tx).await?;
    let answer = |rows: Vec<Row>| {
        Ok(rows
            .into_iter()
            .map(|row| saved.get(&key(&row.name)).cloned().unwrap_or(row))
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
        let sql = format!("SELECT {COLUMNS} FROM uploads WHERE {}", among(chunk.len()));
        let statement = Statement::from_sql_and_values(db.backend(), sql, name_values(chunk));
        for row in db.reader().query_all_raw(statement).await.map_err(db_err)? {
            let row = Row::read(&row)?;
            found.insert(key(&row.name), row);
        }
    }
    let answer = |names: Vec<UploadName>| {
        Ok(names
            .iter()
            .map(|name| found.get(&key(name)).cloned())
            .collect())
    };
    Ok(calls.into_iter().map(answer).collect())
}

pub(super) async fn finish(db: Db, calls: Vec<Vec<UploadName>>) -> Result<Vec<Result<()>>> {
    let mut names: Vec<UploadName> = calls.iter().flatten().cloned().collect();
    names.sort_unstable();
    let tx = db.begin().await?;
    for chunk in names.chunks(MAX_VARIABLES / 3) {
        let sql = format!(
            "UPDATE uploads SET state = {}, multipart_id = NULL WHERE {}",
            State::Completed.code(),
            among(chunk.len())
        );
        tx.execute_raw(Statement::from_sql_and_values(
            db.backend(),
            sql,
            name_values(chunk),
        ))
        .await
        .map_err(db_err)?;
    }
    commit(tx).await?;
    Ok(calls.into_iter().map(|_| Ok(())).collect())
}

pub(super) async fn swap(db: Db, calls: Vec<Swap>) -> Result<Vec<Result<bool>>> {
    const SQL: &str = "UPDATE uploads SET multipart_id = $1 WHERE project = $2 AND dataset = $3 AND upload = $4 AND COALESCE(multipart_id, '') = $5";
    let mut ordered: Vec<(usize, Swap)> = calls.into_iter().enumerate().collect();
    ordered.sort_unstable_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    let mut results: Vec<Result<bool>> = ordered.iter().map(|_| Ok(false)).collect();
    let tx = db.begin().await?;
    for (index, swap) in ordered {
        let UploadName {
            project,
            dataset,
            upload,
        } = swap.name;
        let values: [Value; 5] = [
            swap.new.into(),
            project.into(),
            dataset.into(),
            upload.into(),
            swap.old.unwrap_or_default().into(),
        ];
        let done = tx
            .execute_raw(Statement::from_sql_and_values(db.backend(), SQL, values))
            .await
            .map_err(db_err)?;
        if let Some(result) = results.get_mut(index) {
            *result = Ok(done.rows_affected() == 1);
        }
    }
    commit(tx).await?;
    Ok(results)
}

pub(super) async fn expired(db: &Db, now: i64, limit: u32) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM uploads WHERE state = 1 AND expire_time < $1 ORDER BY expire_time LIMIT $2"
    );
    let statement =
        Statement::from_sql_and_values(db.backend(), sql, [now.into(), i64::from(limit).into()]);
    let rows = db.reader().query_all_raw(statement).await.map_err(db_err)?;
    rows.iter().map(Row::read).collect()
}

pub(super) async fn forget(db: &Db, names: &[UploadName], now: i64) -> Result<()> {
    let tx = db.begin().await?;
    for chunk in names.chunks(MAX_VARIABLES / 3 - 1) {
        let sql = format!(
            "DELETE FROM uploads WHERE {} AND state = 1 AND expire_time < ${}",
            among(chunk.len()),
            chunk.len() * 3 + 1
        );
        let values = name_values(chunk).into_iter().chain([now.into()]);
        tx.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await
            .map_err(db_err)?;
    }
    commit(tx).await
}
