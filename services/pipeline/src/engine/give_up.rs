//! Ending a session that cannot be worked on, however often it is tried: what is undecided is refused, and says why.

use std::collections::BTreeSet;

use granary_core::{Error, Result};
use granary_proto::{
    convert,
    metadata::v1::{AssetEvent, AssetStateUpdate, FinishSessionRequest},
};

use super::{
    Engine,
    failure::is_infrastructure,
    outputs,
    verdict::{apply, is_open},
};
use crate::{
    item::Item,
    report::{self, Report},
    state::{self, RunEvent},
    store::{
        runs::{self, RunRow},
        works::Work,
        write::{Progress, Write},
    },
};

/// Refuses the assets that have no verdict, completes what was made of the others, fails the session, and ends its runs.
pub(super) async fn give_up(engine: &Engine, work: &Work, error: &Error) -> Result<()> {
    let reason = report::one("pipeline", format!("could not be run: {error}"));
    let runs = runs::of_session(engine.db.reader(), &work.session).await?;
    refuse(engine, work, &reason).await?;
    complete_outputs(engine, work, &runs).await?;
    let request = FinishSessionRequest {
        name: work.session.to_string(),
        errors: convert::wire_report(reason),
        ..Default::default()
    };
    match engine.remote.finish_session(request).await {
        Err(Error::NotFound { .. }) => {}
        other => other?,
    }
    end(engine, work, runs, error).await
}

async fn refuse(engine: &Engine, work: &Work, reason: &Report) -> Result<()> {
    let refusal = |item: &Item| AssetStateUpdate {
        name: item.name.to_string(),
        event: AssetEvent::Refused as i32,
        errors: convert::wire_report(reason.clone()),
        ..Default::default()
    };
    let mut token = String::new();
    loop {
        let (items, next) = match engine.remote.assets(&work.session, token).await {
            Err(Error::NotFound { .. }) => return Ok(()),
            other => other?,
        };
        let open = items.iter().filter(|item| is_open(item.state));
        apply(engine, &work.session, open.map(refusal).collect()).await?;
        if next.is_empty() {
            return Ok(());
        }
        token = next;
    }
}

/// What cannot be completed stays as it is: that is no reason to keep the session waiting.
async fn complete_outputs(engine: &Engine, work: &Work, runs: &[RunRow]) -> Result<()> {
    let mut datasets = BTreeSet::new();
    for run in runs {
        match engine.definition(&run.name.parent(), run.version).await {
            Ok(definition) => datasets.extend(definition.outputs()),
            // It may be for want of its definition that a session is given up.
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::warn!(run = %run.name, %error, "the outputs of a run are not known");
            }
        }
    }
    for dataset in datasets {
        match outputs::complete(engine, &work.session, &dataset).await {
            Err(error) if is_infrastructure(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(session = %work.session, dataset, %error, "an output session was not completed");
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

async fn end(engine: &Engine, work: &Work, runs: Vec<RunRow>, error: &Error) -> Result<()> {
    let mut ends = Vec::new();
    for run in runs {
        if state::is_final(run.state) {
            continue;
        }
        ends.push(Progress {
            state: state::next(&run.name, run.state, RunEvent::GaveUp)?,
            name: run.name,
            counts: run.counts,
            error: error.to_string(),
            finish_time: engine.now(),
        });
    }
    engine.write(Write::end(work, ends)).await
}
