//! Snapshots.

use granary_core::{
    Result,
    name::{DatasetScope, SnapshotName},
};
use granary_runtime::db::sql::{Row, Sql, values};
use sea_orm::ConnectionTrait;

use super::frozen::Content;

/// A snapshot as stored.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub name: SnapshotName,
    /// Under which id what it holds is stored.
    pub content: String,
    pub filter: String,
    pub digest: String,
    pub asset_count: i64,
    pub label_count: i64,
    pub size_bytes: i64,
    pub author: String,
    pub created: i64,
}

impl Snapshot {
    /// What it holds.
    pub(crate) fn content(&self) -> Content {
        Content {
            dataset: self.name.parent(),
            id: self.content.clone(),
        }
    }
}

/// Where a page of snapshots goes on: creation, dataset, snapshot.
pub(crate) type Key = (i64, String, String);

const SELECT: &str = "SELECT n.project, n.dataset, n.snapshot, n.content, n.filter, n.digest, n.asset_count, n.label_count, n.size_bytes, n.author, \
    n.created FROM snapshots n WHERE n.project = ";

fn read(row: &mut Row) -> Result<Snapshot> {
    Ok(Snapshot {
        name: SnapshotName {
            project: row.get()?,
            dataset: row.get()?,
            snapshot: row.get()?,
        },
        content: row.get()?,
        filter: row.get()?,
        digest: row.get()?,
        asset_count: row.get()?,
        label_count: row.get()?,
        size_bytes: row.get()?,
        author: row.get()?,
        created: row.get()?,
    })
}

fn columns(name: &SnapshotName) -> [sea_orm::Value; 3] {
    values![
        name.project.as_str(),
        name.dataset.as_str(),
        name.snapshot.as_str()
    ]
}

/// The snapshot, if it is there.
pub(crate) async fn get(
    on: &impl ConnectionTrait,
    name: &SnapshotName,
) -> Result<Option<Snapshot>> {
    let mut sql = Sql::new(on.get_database_backend(), SELECT);
    sql.bind(name.project.as_str())
        .push(" AND n.dataset = ")
        .bind(name.dataset.as_str());
    sql.push(" AND n.snapshot = ").bind(name.snapshot.as_str());
    sql.first(on, read).await
}

/// Up to `limit` snapshots, the newest first, after `last`.
pub(crate) async fn list(
    on: &impl ConnectionTrait,
    scope: &DatasetScope,
    last: Option<&Key>,
    limit: u32,
) -> Result<Vec<Snapshot>> {
    let mut sql = Sql::new(on.get_database_backend(), SELECT);
    sql.bind(scope.project.as_str());
    if let Some(dataset) = &scope.dataset {
        sql.push(" AND n.dataset = ").bind(dataset.as_str());
    }
    if let Some((created, dataset, snapshot)) = last {
        sql.push(" AND (n.created, n.dataset, n.snapshot) < ")
            .tuple(values![*created, dataset.as_str(), snapshot.as_str()]);
    }
    sql.push(" ORDER BY n.created DESC, n.dataset DESC, n.snapshot DESC LIMIT ")
        .bind(i64::from(limit));
    sql.all(on, read).await
}

/// Adds a snapshot, once what it holds is there.
pub(crate) async fn add(on: &impl ConnectionTrait, snapshot: &Snapshot) -> Result<()> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "INSERT INTO snapshots (project, dataset, snapshot, content, filter, digest, asset_count, label_count, size_bytes, author, created) VALUES ",
    );
    let [project, dataset, name] = columns(&snapshot.name);
    sql.tuple(values![
        project,
        dataset,
        name,
        snapshot.content.as_str(),
        snapshot.filter.as_str(),
        snapshot.digest.as_str(),
        snapshot.asset_count,
        snapshot.label_count,
        snapshot.size_bytes,
        snapshot.author.as_str(),
        snapshot.created,
    ]);
    sql.run(on).await.map(drop)
}
