//! The passage through the assets of a session: examine, make, tell the verdict, note the results.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use granary_core::{Error, Result};
use granary_proto::{
    convert,
    metadata::v1::{AssetEvent, AssetState, AssetStateUpdate, FinishSessionRequest},
    pipeline::v1::RunState,
};
use tokio::sync::mpsc;

use super::{
    Engine,
    examine::Examined,
    make::{self, Stale},
    outputs::{self, Outputs},
    page::examine_page,
    plan::Plan,
    subject::Subject,
    verdict::{apply, is_open, verdict},
    whole,
};
use crate::{
    item::Item,
    record::{AssetRecord, Outcome, StepRecord},
    report::{self, Report},
    state::{self, RunEvent},
    store::{
        cache::MAX_STEPS,
        results,
        runs::Counts,
        works::Work,
        write::{Progress, Write},
    },
};

/// How much a session says about what is wrong with it, in bytes.
const MOST_ERRORS: usize = 256 << 10;
const REST: (&str, &str) = (
    "pipeline",
    "more is wrong with it: see the results of the runs",
);

/// One passage through the assets of a session.
pub(super) struct Pass<'a> {
    pub(super) engine: &'a Engine,
    pub(super) work: &'a Work,
    pub(super) subject: Arc<Subject>,
    pub(super) outputs: Outputs,
    /// By plan.
    pub(super) counts: Vec<Counts>,
    /// Called whenever something was finished for good.
    pub(super) progressed: &'a (dyn Fn() + Sync),
}

impl Pass<'_> {
    /// Works on all assets, and ends the session.
    pub(super) async fn all(&mut self) -> Result<()> {
        self.assets().await?;
        self.finish().await
    }

    /// Works on all assets that have no result yet: while the verdicts of one page are written, the next is examined.
    async fn assets(&mut self) -> Result<()> {
        let (send, mut receive) = mpsc::channel(1);
        let (engine, subject) = (self.engine, self.subject.clone());
        let examine = async move {
            let mut token = String::new();
            loop {
                let (items, next) = engine.remote.assets(&subject.session.name, token).await?;
                let left = undone(engine, &subject, items).await?;
                let (marked, examined) = tokio::join!(
                    mark(engine, &subject, &left),
                    examine_page(engine, &subject, left.clone(), true)
                );
                marked?;
                // The other side ends early only with an error of its own.
                if send.send(examined?).await.is_err() || next.is_empty() {
                    return Ok(());
                }
                token = next;
            }
        };
        let conclude = async {
            while let Some(page) = receive.recv().await {
                self.conclude(page).await?;
            }
            Ok(())
        };
        tokio::try_join!(examine, conclude).map(drop)
    }

    /// Makes the files of a page, tells the verdicts, then notes the results: what has a result has its verdict.
    async fn conclude(&mut self, mut page: Vec<Examined>) -> Result<()> {
        if page.is_empty() {
            return Ok(());
        }
        if let Err(Stale) =
            make::make_all(self.engine, &self.subject, &mut self.outputs, &mut page).await?
        {
            let items = page.into_iter().map(|examined| examined.item).collect();
            page = examine_page(self.engine, &self.subject, items, false).await?;
            if let Err(Stale) =
                make::make_all(self.engine, &self.subject, &mut self.outputs, &mut page).await?
            {
                return Err(Error::Unavailable {
                    reason: "an asset vanished while it was copied".into(),
                    cause: None,
                });
            }
        }
        let updates = page.iter().map(verdict).collect();
        apply(self.engine, &self.subject.session.name, updates).await?;
        let mut cache = HashMap::new();
        let mut results = Vec::with_capacity(page.len() * self.subject.plans.len());
        for examined in page {
            results.extend(self.records(&examined));
            if let Some(entry) = examined.learned.filter(|entry| entry.len() <= MAX_STEPS) {
                cache.insert(examined.item.sha256, entry);
            }
        }
        let runs = self.progress(None)?;
        self.engine
            .write(Write {
                work: self.work.clone(),
                results,
                cache: cache.into_iter().collect(),
                runs,
                done: false,
            })
            .await?;
        (self.progressed)();
        Ok(())
    }

    fn records(&mut self, examined: &Examined) -> Vec<AssetRecord> {
        let mut rows = Vec::new();
        for ((plan, records), counts) in self
            .subject
            .plans
            .iter()
            .zip(&examined.records)
            .zip(&mut self.counts)
        {
            if !plan.is_of_assets() {
                continue;
            }
            let own = |record: &StepRecord| record.outcome != Outcome::Skipped;
            let of_asset = || {
                records
                    .iter()
                    .zip(&plan.of_session)
                    .filter(|(_, whole)| whole.is_none())
                    .filter_map(|(record, _)| record.as_ref())
            };
            let cached = of_asset()
                .filter(|record| own(record) && record.cached)
                .count();
            let worked = of_asset()
                .filter(|record| own(record) && !record.cached)
                .count();
            let steps: Vec<StepRecord> = records.iter().flatten().cloned().collect();
            let row = AssetRecord {
                run: plan.run.run.clone(),
                asset: examined.item.name.asset.clone(),
                path: examined.item.path.clone(),
                // A file that had no place to go says nothing about the asset.
                rejected: steps
                    .iter()
                    .any(|step| !step.errors.is_empty() && !step.errors.contains_key("into")),
                steps,
                cached: i64::try_from(cached).unwrap_or_default(),
                worked: i64::try_from(worked).unwrap_or_default(),
            };
            counts.done += 1;
            counts.rejected += i64::from(row.rejected);
            counts.cached += row.cached;
            counts.worked += row.worked;
            rows.push(row);
        }
        rows
    }

    /// How far the runs are; with the time, how they ended.
    fn progress(&self, ended: Option<i64>) -> Result<Vec<Progress>> {
        let mut progress = Vec::with_capacity(self.counts.len());
        for (at, (plan, counts)) in self.subject.plans.iter().zip(&self.counts).enumerate() {
            let error = self.outputs.failures.get(&at).cloned().unwrap_or_default();
            let mut counts = Counts {
                worked: counts.worked + plan.session_effort(),
                ..*counts
            };
            let event = match ended {
                None => RunEvent::Claimed,
                Some(_) if !error.is_empty() => RunEvent::GaveUp,
                Some(_) => RunEvent::Finished {
                    rejected: counts.rejected > 0 || !plan.session_errors().is_empty(),
                },
            };
            if ended.is_some() && !plan.is_of_assets() {
                counts.done = counts.assets;
            }
            let state = state::next(&plan.run, RunState::Running, event)?;
            progress.push(Progress {
                name: plan.run.clone(),
                state,
                counts,
                error,
                finish_time: ended.unwrap_or(0),
            });
        }
        Ok(progress)
    }

    /// Completes the outputs, tells the session's verdict, and ends the runs.
    async fn finish(&mut self) -> Result<()> {
        let plans = &self.subject.plans;
        let datasets: BTreeSet<String> = plans
            .iter()
            .flat_map(|plan| plan.definition.outputs())
            .collect();
        for dataset in datasets {
            outputs::complete(self.engine, &self.work.session, &dataset).await?;
        }
        let request = FinishSessionRequest {
            name: self.work.session.to_string(),
            errors: convert::wire_report(self.errors()),
            attributes: convert::wire_attributes(self.outputs.attributes.clone()),
        };
        self.engine.remote.finish_session(request).await?;
        let of_session = plans.iter().filter(|plan| !plan.is_of_assets());
        let write = Write {
            results: of_session.map(whole::record).collect(),
            ..Write::end(self.work, self.progress(Some(self.engine.now()))?)
        };
        self.engine.write(write).await
    }

    /// What is wrong with the session as a whole.
    fn errors(&self) -> Report {
        let mut errors = Report::new();
        for (at, plan) in self.subject.plans.iter().enumerate() {
            report::merge(&mut errors, &plan.session_errors());
            if let Some(failure) = self.outputs.failures.get(&at) {
                let failure = format!("{}: {failure}", plan.definition.name);
                report::add(&mut errors, "pipeline", failure);
            }
        }
        report::cut(&errors, MOST_ERRORS, REST)
    }
}

/// The assets that are not done in all runs.
async fn undone(engine: &Engine, subject: &Subject, items: Vec<Item>) -> Result<Vec<Item>> {
    let runs: Vec<&str> = subject
        .plans
        .iter()
        .filter(|plan| plan.is_of_assets())
        .map(|plan| plan.run.run.as_str())
        .collect();
    let assets: Vec<String> = items.iter().map(|item| item.name.asset.clone()).collect();
    let done = results::done(engine.db.reader(), &runs, &assets).await?;
    if runs.is_empty() {
        return Ok(items
            .into_iter()
            .filter(|item| is_open(item.state))
            .collect());
    }
    // All runs of an asset are written together, so that one tells for all.
    let first = runs.first().copied().unwrap_or_default().to_owned();
    Ok(items
        .into_iter()
        .filter(|item| !done.contains(&(first.clone(), item.name.asset.clone())))
        .collect())
}

/// Shows that assets are being looked at, if that takes a while: where headers are enough, the verdict follows at once.
async fn mark(engine: &Engine, subject: &Subject, items: &[Item]) -> Result<()> {
    if !subject.plans.iter().any(Plan::reads_whole) {
        return Ok(());
    }
    let waiting = items
        .iter()
        .filter(|item| item.state == AssetState::Uploaded);
    let updates = waiting
        .map(|item| AssetStateUpdate {
            name: item.name.to_string(),
            event: AssetEvent::Checking as i32,
            ..Default::default()
        })
        .collect();
    apply(engine, &subject.session.name, updates).await
}
