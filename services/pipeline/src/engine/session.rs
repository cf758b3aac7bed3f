//! The unit of work: one session, with all the runs on it.

use std::sync::Arc;

use granary_core::{Error, Result, name::SessionName};
use granary_proto::{
    convert,
    metadata::v1::{AssetEvent, AssetState, AssetStateUpdate, FinishSessionRequest},
};

use super::{Engine, make::Outputs, page::Subject, pass::Pass, plan::Plan, whole};
use crate::{
    item::{Item, SessionInfo},
    report,
    session_file::SessionFile,
    state::{self, RunEvent},
    store::{
        results,
        runs::{self, Counts, RunRow},
        works::Work,
        write::{Progress, Write},
    },
};

/// Whether an error says nothing about the session, so that the work is to be tried again.
pub(crate) fn is_infrastructure(error: &Error) -> bool {
    error.is_transient()
        || matches!(
            error,
            Error::Unauthenticated { .. }
                | Error::Cancelled { .. }
                | Error::Internal { .. }
                | Error::Aborted { .. }
                | Error::Exhausted { .. }
        )
}

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
    let first = whole::judge(engine, &session, &file, &mut plans).await?;
    let mut outputs = Outputs {
        attributes: first.attributes,
        ..Outputs::default()
    };
    for (at, run) in runs
        .iter()
        .enumerate()
        .filter(|(_, run)| !run.error.is_empty())
    {
        outputs.failures.insert(at, run.error.clone());
    }
    let mut counts = Vec::with_capacity(runs.len());
    for run in &runs {
        let so_far = results::counts(engine.db.reader(), &run.name.run).await?;
        counts.push(Counts {
            assets: session.asset_count,
            ..so_far
        });
    }
    let subject = Arc::new(Subject { session, plans });
    let mut pass = Pass {
        engine,
        work,
        subject,
        outputs,
        counts,
        progressed,
    };
    pass.assets().await?;
    pass.finish().await
}

/// No pipeline wants the session: it is processed, and with it its assets are ready.
async fn nothing_to_check(engine: &Engine, work: &Work) -> Result<()> {
    let request = FinishSessionRequest {
        name: work.session.to_string(),
        ..Default::default()
    };
    engine.remote.finish_session(request).await?;
    engine
        .write(Write {
            work: work.clone(),
            results: vec![],
            cache: vec![],
            runs: vec![],
            done: true,
        })
        .await
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
        let rejected = so_far.rejected > 0
            || (so_far.done == 0
                && session.state == granary_proto::metadata::v1::SessionState::Failed);
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
    engine
        .write(Write {
            work: work.clone(),
            results: vec![],
            cache: vec![],
            runs: ends,
            done: true,
        })
        .await
}

pub(super) fn is_open(state: AssetState) -> bool {
    matches!(state, AssetState::Uploaded | AssetState::Validating)
}

/// Applies events to assets. One that is refused was decided already, or the asset is gone: neither is a reason to stop.
pub(super) async fn apply(
    engine: &Engine,
    session: &SessionName,
    updates: Vec<AssetStateUpdate>,
) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    for result in engine
        .remote
        .update_assets(&session.project, updates)
        .await?
    {
        let Some(error) = result.error.map(granary_runtime::rpc::from_item) else {
            continue;
        };
        if is_infrastructure(&error) {
            return Err(error);
        }
        tracing::warn!(%session, %error, "an asset did not take its verdict");
    }
    Ok(())
}

/// Ends a session that cannot be worked on, however often it is tried: what is undecided is refused, and says why.
pub(crate) async fn give_up(engine: &Engine, work: &Work, error: &Error) -> Result<()> {
    let reason = report::one("pipeline", format!("could not be run: {error}"));
    let mut token = String::new();
    loop {
        let (items, next) = match engine.remote.assets(&work.session, token).await {
            Err(Error::NotFound { .. }) => break,
            other => other?,
        };
        let refuse = |item: &Item| AssetStateUpdate {
            name: item.name.to_string(),
            event: AssetEvent::Refused as i32,
            errors: convert::wire_report(reason.clone()),
            ..Default::default()
        };
        apply(
            engine,
            &work.session,
            items
                .iter()
                .filter(|item| is_open(item.state))
                .map(refuse)
                .collect(),
        )
        .await?;
        if next.is_empty() {
            break;
        }
        token = next;
    }
    let request = FinishSessionRequest {
        name: work.session.to_string(),
        errors: convert::wire_report(reason),
        ..Default::default()
    };
    match engine.remote.finish_session(request).await {
        Err(Error::NotFound { .. }) => {}
        other => other?,
    }
    let mut ends = Vec::new();
    for run in runs::of_session(engine.db.reader(), &work.session)
        .await?
        .into_iter()
        .filter(|run| !state::is_final(run.state))
    {
        let state = state::next(&run.name, run.state, RunEvent::GaveUp)?;
        ends.push(Progress {
            name: run.name,
            state,
            counts: run.counts,
            error: error.to_string(),
            finish_time: engine.now(),
        });
    }
    engine
        .write(Write {
            work: work.clone(),
            results: vec![],
            cache: vec![],
            runs: ends,
            done: true,
        })
        .await
}
