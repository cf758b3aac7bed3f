//! Projects and datasets.

use std::collections::HashMap;

use granary_core::{
    Result,
    layout::DatasetKind,
    name::{DatasetName, ProjectName},
};
use sea_orm::ConnectionTrait;

use granary_runtime::db::sql::{Row, Sql, values};

use super::member::Identity;

/// A project as stored.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub name: ProjectName,
    pub display_name: String,
    pub created: i64,
}

/// A dataset as stored.
#[derive(Clone, Debug)]
pub(crate) struct Dataset {
    pub name: DatasetName,
    pub kind: DatasetKind,
    pub display_name: String,
    pub revision: i64,
    pub created: i64,
    pub updated: i64,
}

fn read_project(row: &mut Row) -> Result<Project> {
    Ok(Project {
        name: ProjectName {
            project: row.get()?,
        },
        display_name: row.get()?,
        created: row.get()?,
    })
}

fn read_dataset(row: &mut Row) -> Result<Dataset> {
    Ok(Dataset {
        name: DatasetName {
            project: row.get()?,
            dataset: row.get()?,
        },
        kind: row.get::<String>()?.parse()?,
        display_name: row.get()?,
        revision: row.get()?,
        created: row.get()?,
        updated: row.get()?,
    })
}

const PROJECTS: &str = "SELECT project, display_name, created FROM projects";
const DATASETS: &str = "SELECT project, dataset, kind, display_name, revision, created, updated FROM datasets WHERE project = ";

/// The project, if it is there.
pub(crate) async fn project(
    on: &impl ConnectionTrait,
    name: &ProjectName,
) -> Result<Option<Project>> {
    let mut sql = Sql::new(on.get_database_backend(), PROJECTS);
    sql.push(" WHERE project = ").bind(name.project.as_str());
    sql.first(on, read_project).await
}

/// Up to `limit` projects after `last`.
pub(crate) async fn projects(
    on: &impl ConnectionTrait,
    last: &str,
    limit: u32,
) -> Result<Vec<Project>> {
    let mut sql = Sql::new(on.get_database_backend(), PROJECTS);
    sql.push(" WHERE project > ")
        .bind(last)
        .push(" ORDER BY project LIMIT ")
        .bind(i64::from(limit));
    sql.all(on, read_project).await
}

/// Up to `limit` projects after `last` in which a principal is a member.
pub(crate) async fn projects_of(
    on: &impl ConnectionTrait,
    who: &Identity,
    last: &str,
    limit: u32,
) -> Result<Vec<Project>> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT p.project, p.display_name, p.created FROM members m JOIN projects p ON p.project = m.project WHERE m.issuer = ",
    );
    sql.bind(who.issuer.as_str());
    sql.push(" AND m.subject = ").bind(who.subject.as_str());
    sql.push(" AND m.project > ").bind(last);
    sql.push(" ORDER BY m.project LIMIT ")
        .bind(i64::from(limit));
    sql.all(on, read_project).await
}

/// Adds a project, unless it is there; says whether it was added.
pub(crate) async fn insert_project(on: &impl ConnectionTrait, project: &Project) -> Result<bool> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "INSERT INTO projects (project, display_name, created) VALUES ",
    );
    sql.tuple(values![
        project.name.project.as_str(),
        project.display_name.as_str(),
        project.created
    ]);
    sql.push(" ON CONFLICT DO NOTHING");
    Ok(sql.run(on).await? > 0)
}

/// The dataset, if it is there.
pub(crate) async fn dataset(
    on: &impl ConnectionTrait,
    name: &DatasetName,
) -> Result<Option<Dataset>> {
    let mut sql = Sql::new(on.get_database_backend(), DATASETS);
    sql.bind(name.project.as_str())
        .push(" AND dataset = ")
        .bind(name.dataset.as_str());
    sql.first(on, read_dataset).await
}

/// The kinds of those datasets that are there.
pub(crate) async fn kinds(
    on: &impl ConnectionTrait,
    names: &[DatasetName],
) -> Result<HashMap<DatasetName, DatasetKind>> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new(
        on.get_database_backend(),
        "SELECT d.project, d.dataset, d.kind",
    );
    sql.given(names, |name| {
        values![name.project.as_str(), name.dataset.as_str()]
    });
    sql.push("datasets d WHERE d.project = v.column1 AND d.dataset = v.column2");
    let rows = sql.all(on, |row| {
        let name = DatasetName {
            project: row.get()?,
            dataset: row.get()?,
        };
        Ok((name, row.get::<String>()?.parse()?))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Up to `limit` datasets of a project after `last`.
pub(crate) async fn datasets(
    on: &impl ConnectionTrait,
    project: &ProjectName,
    last: &str,
    limit: u32,
) -> Result<Vec<Dataset>> {
    let mut sql = Sql::new(on.get_database_backend(), DATASETS);
    sql.bind(project.project.as_str())
        .push(" AND dataset > ")
        .bind(last);
    sql.push(" ORDER BY dataset LIMIT ").bind(i64::from(limit));
    sql.all(on, read_dataset).await
}

/// Adds a dataset, unless it is there; says whether it was added.
pub(crate) async fn insert_dataset(on: &impl ConnectionTrait, dataset: &Dataset) -> Result<bool> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "INSERT INTO datasets (project, dataset, kind, display_name, revision, created, updated) VALUES ",
    );
    sql.tuple(values![
        dataset.name.project.as_str(),
        dataset.name.dataset.as_str(),
        dataset.kind.as_str(),
        dataset.display_name.as_str(),
        dataset.revision,
        dataset.created,
        dataset.updated,
    ]);
    sql.push(" ON CONFLICT DO NOTHING");
    Ok(sql.run(on).await? > 0)
}

/// Stores what can change of a dataset.
pub(crate) async fn update_dataset(on: &impl ConnectionTrait, dataset: &Dataset) -> Result<()> {
    let mut sql = Sql::new(
        on.get_database_backend(),
        "UPDATE datasets SET display_name = ",
    );
    sql.bind(dataset.display_name.as_str())
        .push(", revision = ")
        .bind(dataset.revision);
    sql.push(", updated = ")
        .bind(dataset.updated)
        .push(" WHERE project = ")
        .bind(dataset.name.project.as_str());
    sql.push(" AND dataset = ")
        .bind(dataset.name.dataset.as_str());
    sql.run(on).await.map(drop)
}
