//! Definitions and their versions.

use granary_core::{Result, name::PipelineName};
use sea_orm::{ConnectionTrait, QueryResult};

use super::{all, execute, get, one};

/// A pipeline in its newest version.
#[derive(Debug)]
pub(crate) struct PipelineRow {
    pub(crate) name: PipelineName,
    pub(crate) version: i64,
    pub(crate) digest: String,
    /// The encoded message.
    pub(crate) definition: Vec<u8>,
    pub(crate) create_time: i64,
    pub(crate) update_time: i64,
}

/// From which datasets to which a pipeline leads.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) pipeline: String,
    pub(crate) dataset: String,
    pub(crate) outputs: Vec<String>,
}

const COLUMNS: &str = "project, pipeline, version, digest, definition, create_time, update_time";

fn read(row: &QueryResult) -> Result<PipelineRow> {
    Ok(PipelineRow {
        name: PipelineName {
            project: get(row, "project")?,
            pipeline: get(row, "pipeline")?,
        },
        version: get(row, "version")?,
        digest: get(row, "digest")?,
        definition: get(row, "definition")?,
        create_time: get(row, "create_time")?,
        update_time: get(row, "update_time")?,
    })
}

/// One pipeline.
pub(crate) async fn find<C: ConnectionTrait>(
    db: &C,
    name: &PipelineName,
) -> Result<Option<PipelineRow>> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines WHERE project = $1 AND pipeline = $2");
    one(
        db,
        sql,
        vec![name.project.as_str().into(), name.pipeline.as_str().into()],
    )
    .await?
    .as_ref()
    .map(read)
    .transpose()
}

/// The pipelines of a project by name, after `after`.
pub(crate) async fn list<C: ConnectionTrait>(
    db: &C,
    project: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<PipelineRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM pipelines WHERE project = $1 AND pipeline > $2 ORDER BY pipeline LIMIT $3"
    );
    let found = all(
        db,
        sql,
        vec![project.into(), after.into(), i64::from(limit).into()],
    )
    .await?;
    found.iter().map(read).collect()
}

/// The definition of one version.
pub(crate) async fn version<C: ConnectionTrait>(
    db: &C,
    name: &PipelineName,
    version: i64,
) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT definition FROM pipeline_versions WHERE project = $1 AND pipeline = $2 AND version = $3";
    let values = vec![
        name.project.as_str().into(),
        name.pipeline.as_str().into(),
        version.into(),
    ];
    one(db, sql, values)
        .await?
        .map(|row| get(&row, "definition"))
        .transpose()
}

/// Where the pipelines of a project lead.
pub(crate) async fn flows<C: ConnectionTrait>(db: &C, project: &str) -> Result<Vec<Flow>> {
    let sql =
        "SELECT pipeline, dataset, outputs FROM pipelines WHERE project = $1 ORDER BY pipeline";
    let found = all(db, sql, vec![project.into()]).await?;
    found
        .iter()
        .map(|row| {
            let outputs: String = get(row, "outputs")?;
            Ok(Flow {
                pipeline: get(row, "pipeline")?,
                dataset: get(row, "dataset")?,
                outputs: outputs.split_whitespace().map(str::to_owned).collect(),
            })
        })
        .collect()
}

/// Writes a version, which becomes the newest.
pub(crate) async fn save<C: ConnectionTrait>(
    db: &C,
    row: &PipelineRow,
    dataset: &str,
    outputs: &[String],
) -> Result<()> {
    let (project, pipeline) = (row.name.project.as_str(), row.name.pipeline.as_str());
    execute(
        db,
        "INSERT INTO pipeline_versions (project, pipeline, version, digest, definition, create_time) VALUES ($1, $2, $3, $4, $5, $6)",
        vec![
            project.into(),
            pipeline.into(),
            row.version.into(),
            row.digest.as_str().into(),
            row.definition.clone().into(),
            row.update_time.into(),
        ],
    )
    .await?;
    execute(
        db,
        "INSERT INTO pipelines (project, pipeline, version, digest, definition, create_time, update_time, dataset, outputs)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (project, pipeline) DO UPDATE SET version = excluded.version, digest = excluded.digest,
         definition = excluded.definition, update_time = excluded.update_time, dataset = excluded.dataset, outputs = excluded.outputs",
        vec![
            project.into(),
            pipeline.into(),
            row.version.into(),
            row.digest.as_str().into(),
            row.definition.clone().into(),
            row.create_time.into(),
            row.update_time.into(),
            dataset.into(),
            outputs.join(" ").into(),
        ],
    )
    .await
    .map(drop)
}
