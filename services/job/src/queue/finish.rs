//! Ends of attempts, as workers report them.

use std::collections::{BTreeMap, BTreeSet};

use granary_core::{
    Error, Result,
    job::OUTPUT_KINDS,
    name::{JobName, SessionName, quote},
};
use granary_proto::job::v1::{FailureClass, JobFinish};
use granary_runtime::db;

use super::{Claim, end, end::End, held, lost};
use crate::{
    core::Core,
    measures,
    state::State,
    store::{
        attempts,
        jobs::{self as store, Row},
    },
    usage,
};

const MAX_MESSAGE: usize = 4096;

/// The end of one attempt.
#[derive(Debug)]
pub(crate) struct Finish {
    claim: Claim,
    end: End,
}

impl Finish {
    pub(crate) fn parse(finish: JobFinish) -> Result<Self> {
        let claim = Claim::parse(&finish.job, finish.lease_number)?;
        let failure = FailureClass::try_from(finish.failure)
            .ok()
            .filter(|failure| *failure != FailureClass::LostLease);
        let Some(failure) = failure else {
            return Err(Error::invalid(
                "failure",
                "expected why the attempt failed, as a worker can know it, or nothing",
            ));
        };
        if finish.handed_back && failure != FailureClass::Infrastructure {
            return Err(Error::invalid(
                "handed_back",
                "expected the failure INFRASTRUCTURE with it",
            ));
        }
        if finish.message.len() > MAX_MESSAGE {
            return Err(Error::invalid(
                "message",
                format!("expected at most 4 KiB, got {} bytes", finish.message.len()),
            ));
        }
        check_outputs(&claim.job, &finish.outputs)?;
        Ok(Self {
            claim,
            end: End {
                failure,
                // NUL is the one character that PostgreSQL's text cannot hold.
                message: finish.message.replace('\0', "\u{fffd}"),
                exit_code: finish.exit_code,
                peak: finish.peak_memory_bytes.max(0),
                outputs: finish.outputs,
                counts: !finish.handed_back,
            },
        })
    }
}

fn check_outputs(job: &JobName, outputs: &BTreeMap<String, String>) -> Result<()> {
    for (kind, session) in outputs {
        let field = format!("outputs.{kind}");
        if !OUTPUT_KINDS.contains(&kind.as_str()) {
            return Err(Error::invalid(field, "expected output, artifact or log"));
        }
        let name = SessionName::parse(session).map_err(|error| error.within(&field))?;
        if name.project != job.project {
            return Err(Error::invalid(
                field,
                format!(
                    "expected a session of the job's project, got {}",
                    quote(session)
                ),
            ));
        }
    }
    Ok(())
}

/// The ends of attempts of one worker in one call.
pub(crate) type Call = (String, Vec<Finish>);

/// Takes the ends of several calls in one transaction; the state of each job after it.
pub(crate) async fn take(core: &Core, calls: Vec<Call>) -> Result<Vec<Result<Vec<Result<State>>>>> {
    let now = core.now();
    let names: BTreeSet<_> = calls
        .iter()
        .flat_map(|(_, finishes)| finishes.iter().map(|finish| finish.claim.job.clone()))
        .collect();
    let tx = core.db.begin().await?;
    let mut rows = store::lock(&tx, &names).await?;
    let mut ended = Vec::new();
    let mut answers = Vec::with_capacity(calls.len());
    for (worker, finishes) in calls {
        let one = |finish: Finish| apply(&mut rows, &worker, finish, now, &mut ended);
        answers.push(Ok(finishes.into_iter().map(one).collect()));
    }
    let seqs: BTreeSet<i64> = ended.iter().map(|ended| ended.job).collect();
    if seqs.is_empty() {
        // Not just dropped: the rows would stay locked until the pool gets round to it.
        db::commit(tx).await?;
        return Ok(answers);
    }
    let changed: Vec<&Row> = rows
        .values()
        .filter(|row| seqs.contains(&row.seq))
        .collect();
    store::save(&tx, &changed).await?;
    attempts::insert(&tx, &ended).await?;
    usage::owe(&tx, changed.iter().copied(), &ended).await?;
    let returned = changed.iter().any(|row| row.state == State::Queued);
    db::commit(tx).await?;
    measures::ended(&ended);
    core.hub.jobs_changed(seqs);
    usage::ended(core);
    if returned {
        core.hub.queue_changed();
        core.hub.deadline_changed();
    }
    Ok(answers)
}

fn apply(
    rows: &mut BTreeMap<JobName, Row>,
    worker: &str,
    finish: Finish,
    now: i64,
    ended: &mut Vec<attempts::Ended>,
) -> Result<State> {
    let row = rows
        .get_mut(&finish.claim.job)
        .ok_or_else(|| Error::not_found(&finish.claim.job))?;
    // This lease ended the job, or returned it, and nobody had it since: the worker repeats itself.
    if row.lease == finish.claim.lease && !row.state.is_held() && row.attempt > 0 {
        return Ok(row.state);
    }
    held(row, &finish.claim, worker)?;
    if finish.end.failure == FailureClass::Cancelled && !row.cancel {
        return Err(Error::invalid("failure", "nobody cancelled the job"));
    }
    ended.push(
        end::apply(row, finish.end, now)
            .map_err(|_| lost(&finish.claim.job, finish.claim.lease))?,
    );
    Ok(row.state)
}
