//! Labels.

use granary_core::{
    Result,
    name::{DatasetName, LabelName},
};
use sea_orm::ConnectionTrait;

use granary_runtime::db::sql::{Row, Sql, insert, values};

/// A box in an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// A label as stored.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub name: LabelName,
    pub class: String,
    pub area: Option<Area>,
    pub author: String,
    pub revision: i64,
    pub created: i64,
    pub updated: i64,
}

/// Where a page of labels goes on: asset, creation, label.
pub(crate) type Key = (String, i64, String);

const COLUMNS: &str = "SELECT l.project, l.dataset, l.asset, l.label, l.class, l.x, l.y, l.width, l.height, l.author, l.revision, \
    l.created, l.updated";

/// Reads a label from the thirteen columns of a label.
pub(super) fn read(row: &mut Row) -> Result<Label> {
    Ok(Label {
        name: LabelName {
            project: row.get()?,
            dataset: row.get()?,
            asset: row.get()?,
            label: row.get()?,
        },
        class: row.get()?,
        area: read_area(row)?,
        author: row.get()?,
        revision: row.get()?,
        created: row.get()?,
        updated: row.get()?,
    })
}

fn read_area(row: &mut Row) -> Result<Option<Area>> {
    let (x, y, width, height) = (row.get()?, row.get()?, row.get()?, row.get()?);
    let (Some(x), Some(y), Some(width), Some(height)) = (x, y, width, height) else {
        return Ok(None);
    };
    Ok(Some(Area {
        x,
        y,
        width,
        height,
    }))
}

fn columns(name: &LabelName) -> [sea_orm::Value; 4] {
    values![
        name.project.as_str(),
        name.dataset.as_str(),
        name.asset.as_str(),
        name.label.as_str()
    ]
}

/// Those labels that are there, in any order.
pub(crate) async fn get(on: &impl ConnectionTrait, names: &[LabelName]) -> Result<Vec<Label>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(on.get_database_backend(), COLUMNS);
    sql.given(names, columns)
        .push("labels l WHERE l.project = v.column1 AND l.dataset = v.column2");
    sql.push(" AND l.asset = v.column3 AND l.label = v.column4");
    sql.all(on, read).await
}

/// Up to `limit` labels of an asset or of all in a dataset, by asset and creation, after `last`.
pub(crate) async fn list(
    on: &impl ConnectionTrait,
    dataset: &DatasetName,
    asset: Option<&str>,
    last: Option<&Key>,
    limit: u32,
) -> Result<Vec<Label>> {
    let mut sql = Sql::new(on.get_database_backend(), COLUMNS);
    sql.push(" FROM labels l WHERE l.project = ")
        .bind(dataset.project.as_str())
        .push(" AND l.dataset = ")
        .bind(dataset.dataset.as_str());
    if let Some(asset) = asset {
        sql.push(" AND l.asset = ").bind(asset);
    }
    match last {
        None => {}
        // Without the asset where it is fixed, so that an index leads straight to the place.
        Some((_, created, label)) if asset.is_some() => {
            sql.push(" AND (l.created, l.label) > ")
                .tuple(values![*created, label.as_str()]);
        }
        Some((asset, created, label)) => {
            sql.push(" AND (l.asset, l.created, l.label) > ")
                .tuple(values![asset.as_str(), *created, label.as_str()]);
        }
    }
    sql.push(" ORDER BY l.asset, l.created, l.label LIMIT ")
        .bind(i64::from(limit));
    sql.all(on, read).await
}

/// Adds labels.
pub(crate) async fn add(on: &impl ConnectionTrait, labels: &[&Label]) -> Result<()> {
    let head = "INSERT INTO labels (project, dataset, asset, label, class, x, y, width, height, author, revision, created, updated) VALUES ";
    let tuple = |l: &&Label| {
        let [project, dataset, asset, label] = columns(&l.name);
        let area = l.area;
        values![
            project,
            dataset,
            asset,
            label,
            l.class.as_str(),
            area.map(|a| a.x),
            area.map(|a| a.y),
            area.map(|a| a.width),
            area.map(|a| a.height),
            l.author.as_str(),
            l.revision,
            l.created,
            l.updated,
        ]
    };
    insert(on, head, labels, tuple, "").await
}

/// Stores a new revision.
pub(crate) async fn update(on: &impl ConnectionTrait, label: &Label) -> Result<()> {
    let mut sql = Sql::new(on.get_database_backend(), "UPDATE labels SET class = ");
    sql.bind(label.class.as_str())
        .push(", x = ")
        .bind(label.area.map(|a| a.x))
        .push(", y = ")
        .bind(label.area.map(|a| a.y));
    sql.push(", width = ")
        .bind(label.area.map(|a| a.width))
        .push(", height = ")
        .bind(label.area.map(|a| a.height));
    sql.push(", author = ")
        .bind(label.author.as_str())
        .push(", revision = ")
        .bind(label.revision);
    sql.push(", updated = ").bind(label.updated);
    sql.push(" WHERE (project, dataset, asset, label) = ")
        .tuple(columns(&label.name));
    sql.run(on).await.map(drop)
}

/// Removes a label; says whether it was there.
pub(crate) async fn remove(on: &impl ConnectionTrait, name: &LabelName) -> Result<bool> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "DELETE FROM labels WHERE (project, dataset, asset, label) = ",
    );
    sql.tuple(columns(name));
    Ok(sql.run(on).await? > 0)
}
