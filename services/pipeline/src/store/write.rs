//! What the engine writes while it works: results, cache, progress and ends. Concurrent sessions share one transaction.

use std::collections::{BTreeMap, HashSet};

use granary_core::{Error, Result, name::RunName};
use granary_proto::pipeline::v1::RunState;
use granary_runtime::db::{self, Db};
use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::{Value as Json, json};

use super::{
    Column::{Number, Text},
    all,
    cache::Entry,
    execute, get, rows,
    runs::Counts,
    table,
    works::Work,
};
use crate::record::AssetRecord;

/// One session's part of a transaction.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) work: Work,
    pub(crate) results: Vec<AssetRecord>,
    /// By checksum.
    pub(crate) cache: Vec<(String, Entry)>,
    pub(crate) runs: Vec<Progress>,
    /// Whether nothing is left to do.
    pub(crate) done: bool,
}

impl Write {
    /// The end of the work on a session.
    pub(crate) fn end(work: &Work, runs: Vec<Progress>) -> Self {
        Self {
            work: work.clone(),
            results: vec![],
            cache: vec![],
            runs,
            done: true,
        }
    }
}

/// How far a run is.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) name: RunName,
    pub(crate) state: RunState,
    pub(crate) counts: Counts,
    pub(crate) error: String,
    /// Microseconds; 0 while it goes on.
    pub(crate) finish_time: i64,
}

/// Applies writes in one transaction. A result for each: [`Error::Aborted`] if somebody else holds the session by now.
pub(crate) async fn apply(db: &Db, writes: Vec<Write>, now: i64) -> Result<Vec<Result<()>>> {
    let tx = db.begin().await?;
    let held = held(&tx, &writes).await?;
    let holds = |write: &Write| held.contains(&(write.work.session.to_string(), write.work.lease));
    let valid: Vec<&Write> = writes.iter().filter(|write| holds(write)).collect();
    put_results(&tx, &valid).await?;
    put_cache(&tx, &valid, now).await?;
    put_progress(&tx, &valid).await?;
    put_ends(&tx, &valid).await?;
    db::commit(tx).await?;
    let lost = |write: &Write| Error::Aborted {
        resource: write.work.session.to_string(),
        reason: "its lease was lost".into(),
    };
    Ok(writes
        .iter()
        .map(|write| {
            if holds(write) {
                Ok(())
            } else {
                Err(lost(write))
            }
        })
        .collect())
}

async fn held<C: ConnectionTrait>(tx: &C, writes: &[Write]) -> Result<HashSet<(String, i64)>> {
    let backend = tx.get_database_backend();
    let lock = if backend == DbBackend::Postgres {
        " FOR UPDATE OF works"
    } else {
        ""
    };
    let sql = format!(
        "SELECT works.session, works.lease FROM {} AS mine JOIN works ON works.session = mine.session AND works.lease = mine.lease
         WHERE works.state = 0{lock}",
        table(backend, 1, &[("session", Text), ("lease", Number)])
    );
    let mine = writes
        .iter()
        .map(|write| json!([write.work.session.to_string(), write.work.lease]))
        .collect();
    all(tx, sql, vec![rows(mine)])
        .await?
        .iter()
        .map(|row| Ok((get(row, "session")?, get(row, "lease")?)))
        .collect()
}

async fn put_results<C: ConnectionTrait>(tx: &C, writes: &[&Write]) -> Result<()> {
    let mut lines = Vec::new();
    for record in writes.iter().flat_map(|write| &write.results) {
        let steps = serde_json::to_string(&record.steps)
            .map_err(|error| Error::internal("storing step results", error))?;
        let (failed, rejected) = (i64::from(record.failed()), i64::from(record.rejected));
        lines.push(json!([
            record.run,
            record.asset,
            record.path,
            failed,
            rejected,
            record.cached,
            record.worked,
            steps
        ]));
    }
    let columns = [
        ("run", Text),
        ("asset", Text),
        ("path", Text),
        ("failed", Number),
        ("rejected", Number),
        ("cached", Number),
        ("worked", Number),
        ("steps", Text),
    ];
    let sql = format!(
        "INSERT INTO results (run, asset, path, failed, rejected, cached, worked, steps)
         SELECT run, asset, path, failed, rejected, cached, worked, steps FROM {} AS new WHERE true ON CONFLICT (run, asset) DO NOTHING",
        table(tx.get_database_backend(), 1, &columns)
    );
    put(tx, sql, lines, vec![]).await
}

async fn put_cache<C: ConnectionTrait>(tx: &C, writes: &[&Write], now: i64) -> Result<()> {
    // One statement must not touch a row twice: the latest wins. And all write in the same order: two processes must not wait for each other.
    let mut latest = BTreeMap::new();
    for write in writes {
        for (content, entry) in &write.cache {
            latest.insert((&write.work.session.project, content), entry);
        }
    }
    let mut lines = Vec::with_capacity(latest.len());
    for ((project, content), entry) in latest {
        let steps = serde_json::to_string(entry)
            .map_err(|error| Error::internal("storing step results", error))?;
        lines.push(json!([project, content, steps]));
    }
    let sql = format!(
        "INSERT INTO cache (project, sha256, steps, update_time) SELECT project, sha256, steps, $2 FROM {} AS new WHERE true
         ON CONFLICT (project, sha256) DO UPDATE SET steps = excluded.steps, update_time = excluded.update_time",
        table(tx.get_database_backend(), 1, &[("project", Text), ("sha256", Text), ("steps", Text)])
    );
    put(tx, sql, lines, vec![now.into()]).await
}

async fn put_progress<C: ConnectionTrait>(tx: &C, writes: &[&Write]) -> Result<()> {
    let runs = writes.iter().flat_map(|write| &write.runs);
    let lines = runs
        .map(|run| {
            let Counts {
                assets,
                done,
                rejected,
                cached,
                worked,
            } = run.counts;
            json!([
                run.name.run,
                run.state as i32,
                assets,
                done,
                rejected,
                cached,
                worked,
                run.error,
                run.finish_time
            ])
        })
        .collect();
    let columns = [
        ("id", Text),
        ("state", Number),
        ("assets", Number),
        ("done", Number),
        ("rejected", Number),
        ("cached", Number),
        ("worked", Number),
        ("error", Text),
        ("finish_time", Number),
    ];
    let sql = format!(
        "UPDATE runs SET state = new.state, asset_count = new.assets, done_count = new.done, rejected_count = new.rejected,
         cached_count = new.cached, worked_count = new.worked, error = new.error, finish_time = new.finish_time
         FROM {} AS new WHERE runs.id = new.id",
        table(tx.get_database_backend(), 1, &columns)
    );
    put(tx, sql, lines, vec![]).await
}

async fn put_ends<C: ConnectionTrait>(tx: &C, writes: &[&Write]) -> Result<()> {
    let ended = writes
        .iter()
        .filter(|write| write.done)
        .map(|write| json!([write.work.session.to_string()]))
        .collect();
    let sql = format!(
        "UPDATE works SET state = 1, owner = '' WHERE session IN (SELECT session FROM {} AS ended)",
        table(tx.get_database_backend(), 1, &[("session", Text)])
    );
    put(tx, sql, ended, vec![]).await
}

async fn put<C: ConnectionTrait>(
    tx: &C,
    sql: String,
    lines: Vec<Json>,
    more: Vec<sea_orm::Value>,
) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut values = vec![rows(lines)];
    values.extend(more);
    execute(tx, sql, values).await.map(drop)
}
