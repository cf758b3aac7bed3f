//! What the steps of a run found.

use std::collections::HashSet;

use granary_core::{Error, Result};
use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::json;

use super::{Column, all, get, one, rows, runs::Counts, table};
use crate::record::StepRecord;

/// What was found for one asset.
#[derive(Debug)]
pub(crate) struct ResultRow {
    pub(crate) asset: String,
    pub(crate) path: String,
    pub(crate) steps: Vec<StepRecord>,
}

/// Rows of a run by asset, from `from` on.
pub(crate) async fn list<C: ConnectionTrait>(
    db: &C,
    run: &str,
    from: &str,
    only_failed: bool,
    limit: u32,
) -> Result<Vec<ResultRow>> {
    let failed = if only_failed { " AND failed = 1" } else { "" };
    let sql = format!(
        "SELECT asset, path, steps FROM results WHERE run = $1 AND asset >= $2{failed} ORDER BY asset LIMIT $3"
    );
    let found = all(
        db,
        sql,
        vec![run.into(), from.into(), i64::from(limit).into()],
    )
    .await?;
    found
        .iter()
        .map(|row| {
            let steps: String = get(row, "steps")?;
            Ok(ResultRow {
                asset: get(row, "asset")?,
                path: get(row, "path")?,
                steps: serde_json::from_str(&steps)
                    .map_err(|error| Error::internal("reading stored step results", error))?,
            })
        })
        .collect()
}

/// Which of `assets` are done in each of `runs`: pairs of run and asset.
pub(crate) async fn done<C: ConnectionTrait>(
    db: &C,
    runs: &[&str],
    assets: &[String],
) -> Result<HashSet<(String, String)>> {
    let sql = done_sql(db.get_database_backend());
    let runs = rows(runs.iter().map(|run| json!([run])).collect());
    let assets = rows(assets.iter().map(|asset| json!([asset])).collect());
    all(db, sql, vec![runs, assets])
        .await?
        .iter()
        .map(|row| Ok((get(row, "run")?, get(row, "asset")?)))
        .collect()
}

/// How far a run had got.
pub(crate) async fn counts<C: ConnectionTrait>(db: &C, run: &str) -> Result<Counts> {
    let sql = "SELECT COUNT(*) AS done, CAST(COALESCE(SUM(rejected), 0) AS BIGINT) AS rejected,
               CAST(COALESCE(SUM(cached), 0) AS BIGINT) AS cached, CAST(COALESCE(SUM(worked), 0) AS BIGINT) AS worked
               FROM results WHERE run = $1 AND asset <> ''";
    let Some(row) = one(db, sql, vec![run.into()]).await? else {
        return Ok(Counts::default());
    };
    Ok(Counts {
        assets: 0,
        done: get(&row, "done")?,
        rejected: get(&row, "rejected")?,
        cached: get(&row, "cached")?,
        worked: get(&row, "worked")?,
    })
}

// Lists to search for, rather than a join: SQLite would go through the whole run for each asset.
fn done_sql(backend: DbBackend) -> String {
    format!(
        "SELECT run, asset FROM results WHERE run IN (SELECT run FROM {} AS r1) AND asset IN (SELECT asset FROM {} AS a1)",
        table(backend, 1, &[("run", Column::Text)]),
        table(backend, 2, &[("asset", Column::Text)])
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{database, plan};

    #[tokio::test]
    async fn asking_what_is_done_costs_what_is_asked_for_and_not_what_is_stored() {
        let (_folder, db) = database().await;
        let plan = plan(&db, &done_sql(db.backend()), 2).await;
        assert!(plan.contains("run=? AND asset=?"), "{plan}");
        assert!(!plan.contains("SCAN results"), "{plan}");
    }
}
