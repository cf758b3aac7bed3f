//! Assets.

use std::collections::HashSet;

use granary_core::{
    Result,
    layout::DatasetKind,
    name::{AssetName, SessionName},
};
use granary_proto::convert::Report;
use granary_runtime::db::MAX_VARIABLES;
use granary_runtime::db::sql::{Row, Sql, insert, values};
use sea_orm::ConnectionTrait;

use super::{
    attributes::{Attributes, Entry, index_assets},
    json,
    query::{Key, Query},
};
use crate::state::asset::State;

/// An asset as stored.
#[derive(Clone, Debug)]
pub(crate) struct Asset {
    pub name: AssetName,
    pub kind: DatasetKind,
    pub session: String,
    pub path: String,
    pub media_type: String,
    pub size_bytes: i64,
    pub sha256: String,
    pub state: State,
    pub attributes: Attributes,
    pub errors: Report,
    pub derived_from: Vec<String>,
    pub producer: String,
    pub created: i64,
    pub updated: i64,
}

impl Asset {
    /// The session that it arrived in.
    pub(crate) fn session_name(&self) -> SessionName {
        SessionName {
            project: self.name.project.clone(),
            dataset: self.name.dataset.clone(),
            session: self.session.clone(),
        }
    }
}

const COLUMNS: &str = "SELECT a.project, a.dataset, a.asset, d.kind, a.session, a.path, a.media_type, a.size_bytes, a.sha256, a.state, \
    a.attributes, a.errors, a.derived_from, a.producer, a.created, a.updated";
const GIVEN: &str =
    " WHERE a.project = v.column1 AND a.dataset = v.column2 AND a.asset = v.column3";

fn read(row: &mut Row) -> Result<Asset> {
    Ok(Asset {
        name: AssetName {
            project: row.get()?,
            dataset: row.get()?,
            asset: row.get()?,
        },
        kind: row.get::<String>()?.parse()?,
        session: row.get()?,
        path: row.get()?,
        media_type: row.get()?,
        size_bytes: row.get()?,
        sha256: row.get()?,
        state: State::parse(&row.get::<String>()?)?,
        attributes: json::decode(&row.get::<String>()?)?,
        errors: json::decode(&row.get::<String>()?)?,
        derived_from: json::decode(&row.get::<String>()?)?,
        producer: row.get()?,
        created: row.get()?,
        updated: row.get()?,
    })
}

fn columns(name: &AssetName) -> [sea_orm::Value; 3] {
    values![
        name.project.as_str(),
        name.dataset.as_str(),
        name.asset.as_str()
    ]
}

// A name has three variables, and a list may grow to twice its length.
const NAMES: usize = MAX_VARIABLES / 3 / 2;

/// Those assets that are there, in any order.
pub(crate) async fn get(on: &impl ConnectionTrait, names: &[AssetName]) -> Result<Vec<Asset>> {
    let mut found = Vec::with_capacity(names.len());
    for chunk in names.chunks(NAMES) {
        let mut sql = Sql::new(on.get_database_backend(), COLUMNS);
        sql.given(chunk, columns);
        sql.push("assets a JOIN datasets d ON d.project = a.project AND d.dataset = a.dataset")
            .push(GIVEN);
        found.extend(sql.all(on, read).await?);
    }
    Ok(found)
}

/// The names that files at these paths would have, of those paths below which there are assets.
pub(crate) async fn folders(
    on: &impl ConnectionTrait,
    paths: &[(&SessionName, &str)],
) -> Result<HashSet<AssetName>> {
    let mut found = HashSet::new();
    for chunk in paths.chunks(MAX_VARIABLES / 4 / 2) {
        let mut sql = Sql::new(
            on.get_database_backend(),
            "SELECT v.column1, v.column2, v.column3, v.column4",
        );
        sql.given(chunk, |(session, path)| {
            let session = *session;
            values![
                session.project.as_str(),
                session.dataset.as_str(),
                session.session.as_str(),
                *path
            ]
        });
        // `0` is the character after `/`.
        sql.push("(SELECT 1) AS one WHERE EXISTS (SELECT 1 FROM assets a WHERE a.project = v.column1 AND a.dataset = v.column2 ")
            .push("AND a.session = v.column3 AND a.path > v.column4 || '/' AND a.path < v.column4 || '0')");
        let read = |row: &mut Row| {
            let session = session(row)?;
            Ok(session.asset(&row.get::<String>()?))
        };
        found.extend(sql.all(on, read).await?);
    }
    Ok(found)
}

fn session(row: &mut Row) -> Result<SessionName> {
    Ok(SessionName {
        project: row.get()?,
        dataset: row.get()?,
        session: row.get()?,
    })
}

/// The sessions of assets.
pub(crate) async fn sessions(
    on: &impl ConnectionTrait,
    names: &[AssetName],
) -> Result<Vec<SessionName>> {
    let mut found = Vec::new();
    for chunk in names.chunks(NAMES) {
        let mut sql = Sql::new(
            on.get_database_backend(),
            "SELECT DISTINCT a.project, a.dataset, a.session",
        );
        sql.given(chunk, columns).push("assets a").push(GIVEN);
        found.extend(sql.all(on, session).await?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Up to `limit` assets that match, by dataset, session and path, after `last`.
pub(crate) async fn list(
    on: &impl ConnectionTrait,
    query: &Query,
    last: Option<&Key>,
    limit: u32,
) -> Result<Vec<Asset>> {
    let mut sql = Sql::new(on.get_database_backend(), COLUMNS);
    query.push(&mut sql)?;
    query.push_page(&mut sql, last, limit);
    sql.all(on, read).await
}

/// The path of one asset of a session that is in a state.
pub(crate) async fn example(
    on: &impl ConnectionTrait,
    session: &SessionName,
    state: State,
) -> Result<Option<String>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT a.path FROM assets a WHERE a.project = ",
    );
    sql.bind(session.project.as_str())
        .push(" AND a.dataset = ")
        .bind(session.dataset.as_str());
    sql.push(" AND a.session = ").bind(session.session.as_str());
    sql.push(" AND a.state = ")
        .bind(state.as_str())
        .push(" ORDER BY a.path LIMIT 1");
    sql.first(on, Row::get).await
}

/// Moves all assets of a session that are in one of `from` to `to`, and says how many there were.
pub(crate) async fn move_all(
    on: &impl ConnectionTrait,
    session: &SessionName,
    from: &[State],
    to: State,
    now: i64,
) -> Result<u64> {
    let mut sql = Sql::new(on.get_database_backend(), "UPDATE assets SET state = ");
    sql.bind(to.as_str())
        .push(", updated = ")
        .bind(now)
        .push(" WHERE project = ")
        .bind(session.project.as_str());
    sql.push(" AND dataset = ")
        .bind(session.dataset.as_str())
        .push(" AND session = ")
        .bind(session.session.as_str());
    sql.push(" AND state IN (");
    for (i, state) in from.iter().enumerate() {
        sql.push(if i == 0 { "" } else { ", " })
            .bind(state.as_str());
    }
    sql.push(")");
    sql.run(on).await
}

/// Adds assets, and indexes their attributes.
pub(crate) async fn add(on: &impl ConnectionTrait, assets: &[&Asset]) -> Result<()> {
    let mut rows = Vec::with_capacity(assets.len());
    for asset in assets {
        rows.push((*asset, encoded(asset)?));
    }
    let head = "INSERT INTO assets (project, dataset, asset, session, path, media_type, size_bytes, sha256, state, attributes, errors, \
         derived_from, producer, created, updated) VALUES ";
    let tuple = |(a, [attributes, errors, derived_from]): &(&Asset, [String; 3])| {
        let [project, dataset, asset] = columns(&a.name);
        values![
            project,
            dataset,
            asset,
            a.session.as_str(),
            a.path.as_str(),
            a.media_type.as_str(),
            a.size_bytes,
            a.sha256.as_str(),
            a.state.as_str(),
            attributes.as_str(),
            errors.as_str(),
            derived_from.as_str(),
            a.producer.as_str(),
            a.created,
            a.updated,
        ]
    };
    insert(on, head, &rows, tuple, "").await?;
    index(on, assets).await
}

/// Removes assets of one dataset and the index of their attributes; their labels stay.
pub(crate) async fn remove(on: &impl ConnectionTrait, names: &[AssetName]) -> Result<()> {
    let Some(first) = names.first() else {
        return Ok(());
    };
    for table in [
        "DELETE FROM asset_attributes WHERE project = ",
        "DELETE FROM assets WHERE project = ",
    ] {
        for chunk in names.chunks(MAX_VARIABLES / 2) {
            let mut sql = Sql::new(on.get_database_backend(), table);
            sql.bind(first.project.as_str())
                .push(" AND dataset = ")
                .bind(first.dataset.as_str())
                .push(" AND asset IN (")
                .list(chunk.iter().map(|name| name.asset.as_str()))
                .push(")");
            sql.run(on).await?;
        }
    }
    Ok(())
}

/// How many assets a session has, counted one by one.
pub(crate) async fn of_session(on: &impl ConnectionTrait, session: &SessionName) -> Result<i64> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT COUNT(*) FROM assets WHERE (project, dataset, session) = ",
    );
    sql.tuple(values![
        session.project.as_str(),
        session.dataset.as_str(),
        session.session.as_str()
    ]);
    Ok(sql.first(on, Row::get).await?.unwrap_or_default())
}

/// Stores what can change of assets; whoever changed attributes has them indexed too.
pub(crate) async fn update(on: &impl ConnectionTrait, assets: &[&Asset]) -> Result<()> {
    let mut rows = Vec::with_capacity(assets.len());
    for asset in assets {
        rows.push((*asset, encoded(asset)?));
    }
    for chunk in rows.chunks(MAX_VARIABLES / 8) {
        let mut sql = Sql::new(
            on.get_database_backend(),
            "UPDATE assets SET state = v.column4, media_type = v.column5, attributes = v.column6, errors = v.column7, \
             updated = v.column8 FROM (VALUES ",
        );
        sql.tuples(chunk, |(a, [attributes, errors, _])| {
            let [project, dataset, asset] = columns(&a.name);
            values![
                project,
                dataset,
                asset,
                a.state.as_str(),
                a.media_type.as_str(),
                attributes.as_str(),
                errors.as_str(),
                a.updated,
            ]
        });
        sql.push(") AS v WHERE assets.project = v.column1 AND assets.dataset = v.column2 AND assets.asset = v.column3");
        sql.run(on).await?;
    }
    Ok(())
}

/// Stores assets whose content was declared anew, and indexes their attributes anew. That is rare: one after the other.
pub(crate) async fn replace(on: &impl ConnectionTrait, assets: &[&Asset]) -> Result<()> {
    for asset in assets {
        let [attributes, _, derived_from] = encoded(asset)?;
        let mut sql = Sql::new(on.get_database_backend(), "UPDATE assets SET size_bytes = ");
        sql.bind(asset.size_bytes)
            .push(", sha256 = ")
            .bind(asset.sha256.as_str());
        sql.push(", media_type = ").bind(asset.media_type.as_str());
        sql.push(", attributes = ").bind(attributes);
        sql.push(", derived_from = ").bind(derived_from);
        sql.push(", producer = ").bind(asset.producer.as_str());
        sql.push(", updated = ").bind(asset.updated);
        sql.push(" WHERE (project, dataset, asset) = ")
            .tuple(columns(&asset.name));
        sql.run(on).await?;
        let mut sql = Sql::new(
            on.get_database_backend(),
            "DELETE FROM asset_attributes WHERE (project, dataset, asset) = ",
        );
        sql.tuple(columns(&asset.name));
        sql.run(on).await?;
    }
    index(on, assets).await
}

/// Indexes the attributes of assets.
pub(crate) async fn index(on: &impl ConnectionTrait, assets: &[&Asset]) -> Result<()> {
    let entries: Vec<_> = assets
        .iter()
        .flat_map(|a| {
            a.attributes.iter().map(|(key, value)| Entry {
                project: &a.name.project,
                dataset: &a.name.dataset,
                id: &a.name.asset,
                key,
                value,
            })
        })
        .collect();
    index_assets(on, &entries).await
}

fn encoded(asset: &Asset) -> Result<[String; 3]> {
    Ok([
        json::encode("attributes", &asset.attributes)?,
        json::encode("errors", &asset.errors)?,
        json::encode("derived_from", &asset.derived_from)?,
    ])
}
