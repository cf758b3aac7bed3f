//! Applying, planning and reading pipelines.

use granary_core::{
    Error, Result,
    clock::to_micros,
    error::Violations,
    name::{DatasetName, PipelineName, ProjectName},
    page,
};
use granary_proto::pipeline::v1::{PipelineChange, PipelineDefinition};
use granary_runtime::db::{self, Db};

use crate::{
    definition::{self, Definition, name_cycle},
    engine::SharedClockBox,
    paging,
    preview::{self, Planned},
    remote::Remote,
    store::pipelines::{self, Flow, PipelineRow},
};

/// The most pipelines of one project.
const MAX_PIPELINES: usize = 1000;
// Applying is rare, and two at once could each close one half of a cycle.
const APPLY_LOCK: i64 = 0x7069_7065_6c69_6e65;

/// Pipelines of all projects.
#[derive(Clone, Debug)]
pub(crate) struct Pipelines {
    pub(crate) db: Db,
    pub(crate) remote: Remote,
    pub(crate) clock: SharedClockBox,
}

impl Pipelines {
    /// Creates a pipeline or a new version of it, if its definition differs.
    pub(crate) async fn apply(
        &self,
        project: &ProjectName,
        wire: &PipelineDefinition,
    ) -> Result<(PipelineRow, PipelineChange)> {
        let definition = definition::read(wire)?;
        self.remote.check_project(project).await?;
        let tx = self.db.begin().await?;
        db::serialize(&tx, APPLY_LOCK).await?;
        let (mut row, change) = self.changed(&tx, project, wire, &definition).await?;
        if change != PipelineChange::Unchanged {
            row.version += 1;
            pipelines::save(&tx, &row, &definition.dataset, &definition.outputs()).await?;
            db::commit(tx).await?;
        }
        Ok((row, change))
    }

    /// Says what applying a definition would change and what its steps would do; changes nothing.
    pub(crate) async fn plan(
        &self,
        project: &ProjectName,
        wire: &PipelineDefinition,
    ) -> Result<(PipelineChange, Planned)> {
        let definition = definition::read(wire)?;
        self.remote.check_project(project).await?;
        let (_, change) = self
            .changed(self.db.reader(), project, wire, &definition)
            .await?;
        let dataset = DatasetName::new(&project.project, &definition.dataset)?;
        let planned = preview::preview(&self.db, &self.remote, &dataset, definition).await?;
        Ok((change, planned))
    }

    /// One pipeline in its newest version.
    pub(crate) async fn get(&self, name: &PipelineName) -> Result<PipelineRow> {
        pipelines::find(self.db.reader(), name)
            .await?
            .ok_or_else(|| Error::not_found(name))
    }

    /// A page of the pipelines of a project, by name, and the token of the next one.
    pub(crate) async fn list(
        &self,
        project: &ProjectName,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<PipelineRow>, String)> {
        let size = page::size(page_size)?;
        let question = ["pipelines", &project.to_string()];
        let after: String = page::decode(&question, page_token)?.unwrap_or_default();
        let rows = pipelines::list(self.db.reader(), &project.project, &after, size + 1).await?;
        paging::page(rows, size, &question, |row| &row.name.pipeline)
    }

    /// The row as it would be, still with the version that it has, and what that changes.
    async fn changed<C: sea_orm::ConnectionTrait>(
        &self,
        db: &C,
        project: &ProjectName,
        wire: &PipelineDefinition,
        definition: &Definition,
    ) -> Result<(PipelineRow, PipelineChange)> {
        let name = PipelineName::new(&project.project, &definition.name)?;
        let (bytes, digest) = definition::encode(wire);
        let current = pipelines::find(db, &name).await?;
        if let Some(current) = current.as_ref().filter(|current| current.digest == digest) {
            return Ok((
                PipelineRow {
                    definition: bytes,
                    name,
                    digest,
                    ..*current
                },
                PipelineChange::Unchanged,
            ));
        }
        check_flows(&pipelines::flows(db, &project.project).await?, definition)?;
        let now = to_micros(self.clock.0.now());
        let change = if current.is_some() {
            PipelineChange::Updated
        } else {
            PipelineChange::Created
        };
        let (version, create_time) =
            current.map_or((0, now), |current| (current.version, current.create_time));
        Ok((
            PipelineRow {
                name,
                version,
                digest,
                definition: bytes,
                create_time,
                update_time: now,
            },
            change,
        ))
    }
}

/// Results must not come back to where they started, through whatever pipelines: that would never end.
fn check_flows(flows: &[Flow], definition: &Definition) -> Result<()> {
    let others: Vec<&Flow> = flows
        .iter()
        .filter(|flow| flow.pipeline != definition.name)
        .collect();
    if others.len() >= MAX_PIPELINES {
        return Err(Error::Exhausted {
            reason: format!(
                "a project has at most {MAX_PIPELINES} pipelines: change one that is there"
            ),
            retry_after: None,
            quota_of: None,
        });
    }
    let edges: Vec<(String, String)> = others
        .iter()
        .flat_map(|flow| {
            flow.outputs
                .iter()
                .map(|output| (flow.dataset.clone(), output.clone()))
        })
        .collect();
    let mut wrong = Violations::default();
    for (at, step) in definition.steps.iter().enumerate() {
        let Some(into) = &step.into else { continue };
        let mut edges = edges.clone();
        edges.push((definition.dataset.clone(), into.clone()));
        if let Some(cycle) = name_cycle(&edges) {
            wrong.add(
                format!("steps[{at}].into"),
                format!(
                    "with the other pipelines the datasets {} form a cycle",
                    cycle.join(" -> ")
                ),
            );
        }
    }
    wrong.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_through_other_pipelines_is_refused() {
        let wire = granary_proto::json::from_json(serde_json::json!({
            "name": "back", "on": {"event": "session.completed", "dataset": "processed"},
            "steps": [{"name": "keep", "transform": "copy", "into": "raw"}],
        }));
        let definition = definition::read(&wire.unwrap()).unwrap();
        let flow = |pipeline: &str| Flow {
            pipeline: pipeline.into(),
            dataset: "raw".into(),
            outputs: vec!["processed".into()],
        };
        assert_eq!(
            check_flows(&[flow("forth")], &definition)
                .unwrap_err()
                .to_string(),
            "steps[0].into: with the other pipelines the datasets processed -> raw -> processed form a cycle"
        );
        // The pipeline's own older version does not count.
        check_flows(&[flow("back")], &definition).unwrap();
    }
}
