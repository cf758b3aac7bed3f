//! What snapshots hold.

use granary_core::{
    Result,
    name::{AssetName, DatasetName},
};
use granary_runtime::db::sql::{Row, Sql, values};
use sea_orm::ConnectionTrait;

use super::{
    label::{self, Label},
    query::Query,
};
use crate::state::asset::State;

/// What one snapshot holds: it can be read before the snapshot is there, and by nobody else.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub dataset: DatasetName,
    pub id: String,
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

/// Where a page of frozen assets goes on: session, path.
pub(crate) type Key = (String, String);

impl Content {
    fn columns(&self) -> [sea_orm::Value; 3] {
        values![
            self.dataset.project.as_str(),
            self.dataset.dataset.as_str(),
            self.id.as_str()
        ]
    }

    /// What was copied for snapshots that did not come to be, or not yet.
    pub(crate) async fn drafts(on: &impl ConnectionTrait) -> Result<Vec<Self>> {
        let sql = Sql::new(
            on.get_database_backend(),
            "SELECT project, dataset, content FROM snapshot_drafts",
        );
        let read = |row: &mut Row| {
            Ok(Self {
                dataset: DatasetName {
                    project: row.get()?,
                    dataset: row.get()?,
                },
                id: row.get()?,
            })
        };
        sql.all(on, read).await
    }

    /// Takes the draft away, and says whether it was there: whoever does so decides what becomes of what was copied.
    pub(crate) async fn take(&self, on: &impl ConnectionTrait) -> Result<bool> {
        let mut sql = Sql::new(
            on.get_database_backend(),
            "DELETE FROM snapshot_drafts WHERE (project, dataset, content) = ",
        );
        sql.tuple(self.columns());
        Ok(sql.run(on).await? == 1)
    }

    /// Freezes the ready assets that match and their labels, as a draft; says how many assets there are.
    pub(crate) async fn fill(&self, on: &impl ConnectionTrait, query: &Query) -> Result<u64> {
        let mut draft = Sql::new(
            on.get_database_backend(),
            "INSERT INTO snapshot_drafts (project, dataset, content) VALUES ",
        );
        draft.tuple(self.columns());
        draft.run(on).await?;
        let mut sql = Sql::new(
            on.get_database_backend(),
            "INSERT INTO snapshot_assets (content, project, dataset, session, path, asset, media_type, size_bytes, sha256) SELECT ",
        );
        // Said to be text, since nothing else tells PostgreSQL before it chooses the type.
        sql.push("CAST(").bind(self.id.as_str());
        sql.push(" AS TEXT), a.project, a.dataset, a.session, a.path, a.asset, a.media_type, a.size_bytes, a.sha256");
        query.push(&mut sql)?;
        sql.push(" AND a.state = ").bind(State::Ready.as_str());
        let assets = sql.run(on).await?;
        let mut sql = Sql::new(
            on.get_database_backend(),
            "INSERT INTO snapshot_labels (content, project, dataset, asset, label, class, x, y, width, height, author, revision, \
             created, updated) SELECT f.content, l.project, l.dataset, l.asset, l.label, l.class, l.x, l.y, l.width, l.height, \
             l.author, l.revision, l.created, l.updated FROM snapshot_assets f JOIN labels l ON l.project = f.project \
             AND l.dataset = f.dataset AND l.asset = f.asset WHERE (f.project, f.dataset, f.content) = ",
        );
        sql.tuple(self.columns());
        sql.run(on).await?;
        Ok(assets)
    }

    /// Forgets it. Only for who took its draft away.
    pub(crate) async fn delete(&self, on: &impl ConnectionTrait) -> Result<()> {
        for table in [
            "DELETE FROM snapshot_labels WHERE (project, dataset, content) = ",
            "DELETE FROM snapshot_assets WHERE (project, dataset, content) = ",
        ] {
            let mut sql = Sql::new(on.get_database_backend(), table);
            sql.tuple(self.columns());
            sql.run(on).await?;
        }
        Ok(())
    }

    /// Up to `limit` frozen assets, by session and path, after `last`.
    pub(crate) async fn assets(
        &self,
        on: &impl ConnectionTrait,
        last: Option<&Key>,
        limit: u32,
    ) -> Result<Vec<Frozen>> {
        let mut sql = Sql::new(
            on.get_database_backend(),
            "SELECT f.project, f.dataset, f.asset, f.session, f.path, f.media_type, f.size_bytes, f.sha256 FROM snapshot_assets f \
             WHERE (f.project, f.dataset, f.content) = ",
        );
        sql.tuple(self.columns());
        if let Some((session, path)) = last {
            sql.push(" AND (f.session, f.path) > ")
                .tuple(values![session.as_str(), path.as_str()]);
        }
        sql.push(" ORDER BY f.session, f.path LIMIT ")
            .bind(i64::from(limit));
        sql.all(on, read).await
    }

    /// The labels that were frozen with these assets, by asset and creation.
    pub(crate) async fn labels(
        &self,
        on: &impl ConnectionTrait,
        assets: &[Frozen],
    ) -> Result<Vec<Label>> {
        if assets.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = Sql::new(
            on.get_database_backend(),
            "SELECT l.project, l.dataset, l.asset, l.label, l.class, l.x, l.y, l.width, l.height, l.author, l.revision, l.created, \
             l.updated",
        );
        sql.given(assets, |asset| {
            let [project, dataset, content] = self.columns();
            values![project, dataset, content, asset.name.asset.as_str()]
        });
        sql.push("snapshot_labels l WHERE l.project = v.column1 AND l.dataset = v.column2 AND l.content = v.column3");
        sql.push(" AND l.asset = v.column4");
        sql.push(" ORDER BY l.asset, l.created, l.label");
        sql.all(on, label::read).await
    }
}

fn read(row: &mut Row) -> Result<Frozen> {
    Ok(Frozen {
        name: AssetName {
            project: row.get()?,
            dataset: row.get()?,
            asset: row.get()?,
        },
        session: row.get()?,
        path: row.get()?,
        media_type: row.get()?,
        size_bytes: row.get()?,
        sha256: row.get()?,
    })
}
