//! Snapshots, what they hold, and the labels that they froze.

use granary_core::{
    Result,
    filter::Filter,
    name::{AssetName, DatasetScope, SnapshotName},
};
use sea_orm::ConnectionTrait;

use super::{
    asset::matching,
    label::{self, Label},
    sql::{Row, Sql, values},
};
use crate::state::asset::State;

/// A snapshot as stored.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub name: SnapshotName,
    pub filter: String,
    pub digest: String,
    pub asset_count: i64,
    pub label_count: i64,
    pub size_bytes: i64,
    pub author: String,
    pub created: i64,
}

/// An asset as frozen.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub name: AssetName,
    pub session: String,
    pub path: String,
    pub media_type: String,
    pub size_bytes: i64,
    pub sha256: String,
}

/// Where a page of snapshots goes on: creation, dataset, snapshot.
pub(crate) type Key = (i64, String, String);

/// Where a page of frozen assets goes on: session, path.
pub(crate) type FrozenKey = (String, String);

const SELECT: &str = "SELECT n.project, n.dataset, n.snapshot, n.filter, n.digest, n.asset_count, n.label_count, n.size_bytes, n.author, \
    n.created FROM snapshots n WHERE n.project = ";

fn read(row: &mut Row) -> Result<Snapshot> {
    Ok(Snapshot {
        name: SnapshotName { project: row.get()?, dataset: row.get()?, snapshot: row.get()? },
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
    values![name.project.as_str(), name.dataset.as_str(), name.snapshot.as_str()]
}

/// The snapshot, if it is there.
pub(crate) async fn get(on: &impl ConnectionTrait, name: &SnapshotName) -> Result<Option<Snapshot>> {
    let mut sql = Sql::new(on.get_database_backend(), SELECT);
    sql.bind(name.project.as_str()).push(" AND n.dataset = ").bind(name.dataset.as_str());
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
        sql.push(" AND (n.created, n.dataset, n.snapshot) < ").tuple(values![*created, dataset.as_str(), snapshot.as_str()]);
    }
    sql.push(" ORDER BY n.created DESC, n.dataset DESC, n.snapshot DESC LIMIT ").bind(i64::from(limit));
    sql.all(on, read).await
}

/// Adds a snapshot, once what it holds is there.
pub(crate) async fn add(on: &impl ConnectionTrait, snapshot: &Snapshot) -> Result<()> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "INSERT INTO snapshots (project, dataset, snapshot, filter, digest, asset_count, label_count, size_bytes, author, created) VALUES ",
    );
    let [project, dataset, name] = columns(&snapshot.name);
    sql.tuple(values![
        project, dataset, name, snapshot.filter.as_str(), snapshot.digest.as_str(), snapshot.asset_count, snapshot.label_count,
        snapshot.size_bytes, snapshot.author.as_str(), snapshot.created,
    ]);
    sql.run(on).await.map(drop)
}

/// Freezes the ready assets that match and their labels; says how many assets there are.
pub(crate) async fn freeze(on: &impl ConnectionTrait, name: &SnapshotName, filter: &Filter) -> Result<u64> {
    let scope = DatasetScope { project: name.project.clone(), dataset: Some(name.dataset.clone()) };
    let backend = on.get_database_backend();
    let mut sql = Sql::new(
        backend,
        "INSERT INTO snapshot_assets (snapshot, project, dataset, session, path, asset, media_type, size_bytes, sha256) SELECT ",
    );
    sql.bind(name.snapshot.as_str());
    sql.push(", a.project, a.dataset, a.session, a.path, a.asset, a.media_type, a.size_bytes, a.sha256 FROM assets a");
    matching(&mut sql, &scope, filter)?;
    sql.push(" AND a.state = ").bind(State::Ready.as_str());
    let assets = sql.run(on).await?;
    let mut sql = Sql::new(
        backend,
        "INSERT INTO snapshot_labels (snapshot, project, dataset, asset, label, class, x, y, width, height, author, revision, created, \
         updated) SELECT f.snapshot, l.project, l.dataset, l.asset, l.label, l.class, l.x, l.y, l.width, l.height, l.author, l.revision, \
         l.created, l.updated FROM snapshot_assets f JOIN labels l ON l.project = f.project AND l.dataset = f.dataset \
         AND l.asset = f.asset WHERE (f.project, f.dataset, f.snapshot) = ",
    );
    sql.tuple(columns(name));
    sql.run(on).await?;
    Ok(assets)
}

/// Up to `limit` frozen assets, by session and path, after `last`.
pub(crate) async fn frozen(
    on: &impl ConnectionTrait,
    name: &SnapshotName,
    last: Option<&FrozenKey>,
    limit: u32,
) -> Result<Vec<Frozen>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT f.project, f.dataset, f.asset, f.session, f.path, f.media_type, f.size_bytes, f.sha256 FROM snapshot_assets f \
         WHERE (f.project, f.dataset, f.snapshot) = ",
    );
    sql.tuple(columns(name));
    if let Some((session, path)) = last {
        sql.push(" AND (f.session, f.path) > ").tuple(values![session.as_str(), path.as_str()]);
    }
    sql.push(" ORDER BY f.session, f.path LIMIT ").bind(i64::from(limit));
    sql.all(on, |row| {
        Ok(Frozen {
            name: AssetName { project: row.get()?, dataset: row.get()?, asset: row.get()? },
            session: row.get()?,
            path: row.get()?,
            media_type: row.get()?,
            size_bytes: row.get()?,
            sha256: row.get()?,
        })
    })
    .await
}

/// The labels that were frozen with these assets, by asset and label.
pub(crate) async fn labels(on: &impl ConnectionTrait, name: &SnapshotName, assets: &[Frozen]) -> Result<Vec<Label>> {
    if assets.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT l.project, l.dataset, l.asset, l.label, l.class, l.x, l.y, l.width, l.height, l.author, l.revision, l.created, l.updated \
         FROM snapshot_labels l WHERE (l.project, l.dataset, l.snapshot, l.asset)",
    );
    sql.among(assets, |asset| {
        let [project, dataset, snapshot] = columns(name);
        values![project, dataset, snapshot, asset.name.asset.as_str()]
    });
    sql.push(" ORDER BY l.asset, l.created, l.label");
    sql.all(on, label::read).await
}
