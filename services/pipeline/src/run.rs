//! Reading runs, and watching them.

use std::{sync::Arc, time::Duration};

use granary_core::{
    Error, Result,
    name::{PipelineName, ProjectName, RunName},
};
use granary_proto::pipeline::v1::{StepOutcome, StepResult};
use granary_runtime::db::Db;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    record::StepRecord,
    state,
    store::{
        results,
        runs::{self, RunRow, RunScope},
    },
    watch::Watchers,
};

/// The least time between two states of one run that are shown.
const BETWEEN: Duration = Duration::from_millis(100);
/// How often a run is looked at that another process may work on.
const LOOK: Duration = Duration::from_secs(1);

/// Runs of all projects.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    pub(crate) db: Db,
    pub(crate) watchers: Arc<Watchers>,
}

/// Pipelines of one project: one, or with `-` all (AIP-159).
#[derive(Debug)]
pub(crate) struct PipelineScope {
    pub(crate) project: String,
    pub(crate) pipeline: Option<String>,
}

impl PipelineScope {
    /// Parses `projects/{project}/pipelines/{pipeline or -}`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if let Some(project) = text.strip_suffix("/pipelines/-") {
            return Ok(Self {
                project: ProjectName::parse(project)?.project,
                pipeline: None,
            });
        }
        let name = PipelineName::parse(text)?;
        Ok(Self {
            project: name.project,
            pipeline: Some(name.pipeline),
        })
    }
}

/// After which result a page starts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    asset: String,
    step: usize,
}

impl Runs {
    /// One run.
    pub(crate) async fn get(&self, name: &RunName) -> Result<RunRow> {
        runs::find(self.db.reader(), name)
            .await?
            .ok_or_else(|| Error::not_found(name))
    }

    /// Runs, the newest first, before the id `before`.
    pub(crate) async fn list(
        &self,
        scope: &RunScope<'_>,
        before: &str,
        limit: u32,
    ) -> Result<Vec<RunRow>> {
        runs::list(self.db.reader(), scope, before, limit).await
    }

    /// What the steps found, by asset and step, and where the next page starts.
    pub(crate) async fn results(
        &self,
        name: &RunName,
        outcome: StepOutcome,
        from: Position,
        limit: u32,
    ) -> Result<(Vec<StepResult>, Option<Position>)> {
        let run = self.get(name).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let wanted = |record: &StepRecord| {
            outcome == StepOutcome::Unspecified || record.outcome.wire() == outcome
        };
        let mut found = Vec::new();
        let mut next = from;
        loop {
            let only_failed = outcome == StepOutcome::Failed;
            let rows = results::list(
                self.db.reader(),
                &run.name.run,
                &next.asset,
                only_failed,
                ROWS,
            )
            .await?;
            let more = rows.len() == usize::try_from(ROWS).unwrap_or(0);
            for row in rows {
                let skip = if row.asset == next.asset {
                    next.step
                } else {
                    0
                };
                let asset = if row.asset.is_empty() {
                    String::new()
                } else {
                    asset_name(&run, &row.asset)
                };
                for (place, record) in row.steps.into_iter().enumerate().skip(skip) {
                    if !wanted(&record) {
                        continue;
                    }
                    if found.len() == limit {
                        return Ok((
                            found,
                            Some(Position {
                                asset: row.asset,
                                step: place,
                            }),
                        ));
                    }
                    found.push(record.show(&asset, &row.path));
                }
                next = Position {
                    asset: row.asset,
                    step: usize::MAX,
                };
            }
            if !more {
                return Ok((found, None));
            }
        }
    }

    /// Sends a run's present state and each change until it has ended or nobody listens.
    pub(crate) async fn watch(self, name: RunName, to: mpsc::Sender<Result<RunRow>>) {
        let mut changes = self.watchers.watch(&name.run);
        let mut last = None;
        loop {
            let run = self.get(&name).await;
            let ended = !run.as_ref().is_ok_and(|run| !state::is_final(run.state));
            if run.as_ref().ok() != last.as_ref() || ended {
                last = run.as_ref().ok().cloned();
                if to.send(run).await.is_err() {
                    return;
                }
            }
            if ended {
                return;
            }
            tokio::select! {
                () = to.closed() => return,
                () = tokio::time::sleep(BETWEEN) => {}
            }
            tokio::select! {
                () = to.closed() => return,
                () = tokio::time::sleep(LOOK) => {}
                _ = changes.changed() => {}
            }
        }
    }
}

/// How many assets are read at once for a page of results.
const ROWS: u32 = 200;

fn asset_name(run: &RunRow, asset: &str) -> String {
    let dataset = run.session.parent();
    granary_core::name::AssetName {
        project: dataset.project,
        dataset: dataset.dataset,
        asset: asset.to_owned(),
    }
    .to_string()
}
