//! Reading runs, and watching them.

use std::{sync::Arc, time::Duration};

use futures::{Stream, stream};
use granary_core::{
    Error, Result,
    name::{PipelineName, ProjectName, RunName, SessionName, quote},
    page,
};
use granary_proto::pipeline::v1::{StepOutcome, StepResult};
use granary_runtime::db::Db;
use serde::{Deserialize, Serialize};
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::{
    paging,
    record::StepRecord,
    state,
    store::{
        results::{self, ResultRow},
        runs::{self, RunRow, RunScope},
    },
    watch::Watchers,
};

/// The least time between two states of one run that are shown.
const BETWEEN: Duration = Duration::from_millis(100);
/// How often a run is looked at that another process may work on.
const LOOK: Duration = Duration::from_secs(1);
/// How many assets are read at once for a page of results.
const ROWS: u32 = 200;

/// Runs of all projects.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    pub(crate) db: Db,
    pub(crate) watchers: Arc<Watchers>,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
}

impl RunScope {
    /// Parses `projects/{project}/pipelines/{pipeline or -}` (AIP-159), and the name of a session or nothing.
    pub(crate) fn parse(parent: &str, session: &str) -> Result<Self> {
        let within = |error: Error| error.within("parent");
        let (project, pipeline) = match parent.strip_suffix("/pipelines/-") {
            Some(project) => (ProjectName::parse(project).map_err(within)?.project, None),
            None => {
                let name = PipelineName::parse(parent).map_err(within)?;
                (name.project, Some(name.pipeline))
            }
        };
        let session = match session {
            "" => None,
            name => Some(in_project(&project, name).map_err(|error| error.within("session"))?),
        };
        Ok(Self {
            project,
            pipeline,
            session,
        })
    }
}

fn in_project(project: &str, session: &str) -> Result<SessionName> {
    let name = SessionName::parse(session)?;
    if name.project != project {
        let got = quote(session);
        return Err(Error::invalid(
            "",
            format!("expected a session of projects/{project}, got {got}"),
        ));
    }
    Ok(name)
}

impl Runs {
    /// One run.
    pub(crate) async fn get(&self, name: &RunName) -> Result<RunRow> {
        runs::find(self.db.reader(), name)
            .await?
            .ok_or_else(|| Error::not_found(name))
    }

    /// A page of runs, the newest first, and the token of the next one.
    pub(crate) async fn list(
        &self,
        scope: &RunScope,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<RunRow>, String)> {
        let size = page::size(page_size)?;
        let pipeline = scope.pipeline.as_deref().unwrap_or("-");
        let session = scope.session.as_ref().map(ToString::to_string);
        let question = [
            "runs",
            &scope.project,
            pipeline,
            session.as_deref().unwrap_or_default(),
        ];
        let before: String = page::decode(&question, page_token)?.unwrap_or_default();
        let rows = runs::list(self.db.reader(), scope, &before, size + 1).await?;
        paging::page(rows, size, &question, |row| &row.name.run)
    }

    /// A page of what the steps found, by asset and step, and the token of the next one.
    pub(crate) async fn results(
        &self,
        name: &RunName,
        outcome: StepOutcome,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<StepResult>, String)> {
        let run = self.get(name).await?;
        let question = ["results", &name.to_string(), outcome.as_str_name()];
        let mut found = Found {
            run: &run,
            outcome,
            results: Vec::new(),
            size: usize::try_from(page::size(page_size)?).unwrap_or(usize::MAX),
            next: page::decode(&question, page_token)?.unwrap_or_default(),
        };
        loop {
            let from = found.next.asset.clone();
            let only_failed = outcome == StepOutcome::Failed;
            let rows = results::list(self.db.reader(), &name.run, &from, only_failed, ROWS).await?;
            let last = rows.len() < usize::try_from(ROWS).unwrap_or(0);
            if !rows.into_iter().all(|row| found.take(row)) {
                return Ok((found.results, page::encode(&question, &found.next)?));
            }
            if last {
                return Ok((found.results, String::new()));
            }
        }
    }

    /// A run's present state and each change, until it has ended.
    ///
    /// # Errors
    /// In the stream, [`Error::Unavailable`] when the server stops before the run has ended.
    pub(crate) async fn watch(
        &self,
        name: RunName,
    ) -> Result<impl Stream<Item = Result<RunRow>> + Send + 'static> {
        self.get(&name).await?;
        let watched = Watched {
            runs: self.clone(),
            changes: self.watchers.watch(&name.run),
            name,
            last: None,
        };
        Ok(stream::try_unfold(watched, |mut watched| async move {
            let run = watched.next().await?;
            Ok(run.map(|run| (run, watched)))
        }))
    }
}

/// After which result a page starts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    asset: String,
    step: usize,
}

/// A page of results that is being filled.
struct Found<'a> {
    run: &'a RunRow,
    outcome: StepOutcome,
    results: Vec<StepResult>,
    size: usize,
    /// The first result that is not on it.
    next: Position,
}

impl Found<'_> {
    /// Takes what is wanted of a row; says whether all of it had room.
    fn take(&mut self, row: ResultRow) -> bool {
        let skip = if row.asset == self.next.asset {
            self.next.step
        } else {
            0
        };
        let asset = match row.asset.as_str() {
            "" => String::new(),
            asset => asset_name(self.run, asset),
        };
        for (step, record) in row.steps.into_iter().enumerate().skip(skip) {
            if !self.wants(&record) {
                continue;
            }
            if self.results.len() == self.size {
                let asset = row.asset;
                self.next = Position { asset, step };
                return false;
            }
            self.results.push(record.show(&asset, &row.path));
        }
        self.next = Position {
            asset: row.asset,
            step: usize::MAX,
        };
        true
    }

    fn wants(&self, record: &StepRecord) -> bool {
        self.outcome == StepOutcome::Unspecified || record.outcome.wire() == self.outcome
    }
}

/// A run that somebody watches.
struct Watched {
    runs: Runs,
    name: RunName,
    changes: Receiver<()>,
    last: Option<RunRow>,
}

impl Watched {
    /// The next state that differs from the last one; none after the end.
    async fn next(&mut self) -> Result<Option<RunRow>> {
        loop {
            if let Some(last) = &self.last {
                if state::is_final(last.state) {
                    return Ok(None);
                }
                self.change().await?;
            }
            let run = self.runs.get(&self.name).await?;
            if self.last.as_ref() != Some(&run) {
                self.last = Some(run.clone());
                return Ok(Some(run));
            }
        }
    }

    async fn change(&mut self) -> Result<()> {
        let stopping = self.runs.stopping.clone();
        let change = async {
            tokio::time::sleep(BETWEEN).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = self.changes.changed() => {}
            }
        };
        tokio::select! {
            () = change => Ok(()),
            () = stopping.cancelled() => Err(Error::Unavailable {
                reason: "the server stops: watch the run again".into(),
                cause: None,
            }),
        }
    }
}

fn asset_name(run: &RunRow, asset: &str) -> String {
    let dataset = run.session.parent();
    granary_core::name::AssetName {
        project: dataset.project,
        dataset: dataset.dataset,
        asset: asset.to_owned(),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, pin_mut};
    use granary_proto::pipeline::v1::RunState;

    use super::*;
    use crate::store::{
        tests::{apply, database, session},
        works,
    };

    #[tokio::test]
    async fn who_watches_a_run_is_told_that_the_server_stops() {
        let (_folder, db) = database().await;
        apply(&db, 1).await;
        works::enqueue(&db, &[session("a").into()], "t", 10)
            .await
            .unwrap();
        let name = runs::of_session(db.reader(), &session("a"))
            .await
            .unwrap()
            .remove(0)
            .name;
        let runs = Runs {
            db,
            watchers: Arc::default(),
            stopping: CancellationToken::new(),
        };
        let states = runs.watch(name).await.unwrap();
        pin_mut!(states);
        let first = states.next().await.unwrap().unwrap();
        assert_eq!(first.state, RunState::Queued);
        runs.stopping.cancel();
        let end = states.next().await;
        assert!(
            matches!(end, Some(Err(Error::Unavailable { .. }))),
            "{end:?}"
        );
        assert!(states.next().await.is_none());
    }
}
