//! The unit of work: one session, with all the runs on it.

use std::{collections::BTreeMap, sync::Arc};

use granary_core::Result;
use granary_proto::metadata::v1::{FinishSessionRequest, SessionState};

use super::{Engine, measures, outputs::Outputs, pass::Pass, plan::Plan, subject::Subject, whole};
use crate::{
    item::SessionInfo,
    session_file::SessionFile,
    state::{self, RunEvent},
    store::{
        results,
        runs::{self, Counts, RunRow},
        works::Work,
        write::{Progress, Write},
    },
};

/// Works on a session to its end. `progressed` is called whenever something was finished for good.
pub(crate) async fn process(
    engine: &Engine,
    work: &Work,
    progressed: &(dyn Fn() + Sync),
) -> Result<()> {
    let runs = runs::of_session(engine.db.reader(), &work.session).await?;
    if runs.is_empty() {
        return nothing_to_check(engine, work).await;
    }
    let session = SessionInfo::read(engine.remote.session(&work.session).await?)?;
    if session.is_final() {
        return already_over(engine, work, &session, &runs).await;
    }
    let file = SessionFile::load(&engine.objects, &session).await?;
    let mut plans = Vec::with_capacity(runs.len());
    for run in &runs {
        plans.push(Plan::new(
            run.name.clone(),
            engine.definition(&run.name.parent(), run.version).await?,
        ));
    }
    let attributes = whole::judge(engine, &session, &file, &mut plans).await?;
    let mut counts = Vec::with_capacity(runs.len());
    for run in &runs {
        let so_far = results::counts(engine.db.reader(), &run.name.run).await?;
        counts.push(Counts {
            assets: session.asset_count,
            ..so_far
        });
    }
    let mut pass = Pass {
        engine,
        work,
        subject: Arc::new(Subject::new(session, plans)),
        outputs: Outputs::new(attributes, failures(&runs)),
        counts,
        progressed,
    };
    let worked = pass.all().await;
    if worked.is_ok() {
        measures::took(&runs, engine.now());
    }
    for plan in &pass.subject.plans {
        plan.export();
    }
    worked
}

/// What earlier attempts could not do, by plan.
fn failures(runs: &[RunRow]) -> BTreeMap<usize, String> {
    let failed = runs
        .iter()
        .enumerate()
        .filter(|(_, run)| !run.error.is_empty());
    failed.map(|(at, run)| (at, run.error.clone())).collect()
}

/// No pipeline wants the session: it is processed, and with it its assets are ready.
async fn nothing_to_check(engine: &Engine, work: &Work) -> Result<()> {
    let request = FinishSessionRequest {
        name: work.session.to_string(),
        ..Default::default()
    };
    engine.remote.finish_session(request).await?;
    engine.write(Write::end(work, vec![])).await
}

/// An earlier attempt got as far as the verdict, but could not note it here.
async fn already_over(
    engine: &Engine,
    work: &Work,
    session: &SessionInfo,
    runs: &[RunRow],
) -> Result<()> {
    let mut ends = Vec::with_capacity(runs.len());
    for run in runs.iter().filter(|run| !state::is_final(run.state)) {
        let so_far = results::counts(engine.db.reader(), &run.name.run).await?;
        let rejected =
            so_far.rejected > 0 || (so_far.done == 0 && session.state == SessionState::Failed);
        let event = if run.error.is_empty() {
            RunEvent::Finished { rejected }
        } else {
            RunEvent::GaveUp
        };
        ends.push(Progress {
            name: run.name.clone(),
            state: state::next(&run.name, run.state, event)?,
            counts: Counts {
                assets: session.asset_count,
                ..so_far
            },
            error: run.error.clone(),
            finish_time: engine.now(),
        });
    }
    engine.write(Write::end(work, ends)).await
}
