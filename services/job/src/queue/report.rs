//! Reports: renewed leases, states, and output.

use std::collections::BTreeSet;

use granary_core::{Error, Result};
use granary_proto::job::v1::JobReport;
use granary_runtime::db;

use super::{Claim, held};
use crate::{
    core::Core,
    state::{Event, Progress},
    store::{
        jobs::{self as store, Row},
        logs::{self, KEPT, MAX_PIECE, Piece},
    },
};

/// What a worker says of one job.
#[derive(Debug)]
pub(crate) struct Report {
    claim: Claim,
    progress: Option<Progress>,
    log_offset: i64,
    log: Vec<u8>,
}

/// What it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub cancel: bool,
    /// When the lease ends.
    pub expires: i64,
}

impl Report {
    pub(crate) fn parse(report: JobReport) -> Result<Self> {
        let end = i64::try_from(report.log_data.len())
            .ok()
            .and_then(|length| report.log_offset.checked_add(length));
        if report.log_offset < 0 || end.is_none() {
            return Err(Error::invalid(
                "log_offset",
                format!("expected 0 or more, got {}", report.log_offset),
            ));
        }
        if report.log_data.len() > MAX_PIECE {
            return Err(Error::invalid(
                "log_data",
                format!(
                    "expected at most 256 KiB, got {} bytes",
                    report.log_data.len()
                ),
            ));
        }
        Ok(Self {
            claim: Claim::parse(&report.job, report.lease_number)?,
            progress: Progress::parse(report.state)?,
            log_offset: report.log_offset,
            log: report.log_data,
        })
    }
}

/// The reports of one worker in one call.
pub(crate) type Call = (String, Vec<Report>);

/// Takes the reports of several calls in one transaction.
pub(crate) async fn take(
    core: &Core,
    calls: Vec<Call>,
) -> Result<Vec<Result<Vec<Result<Answer>>>>> {
    let now = core.now();
    let names: BTreeSet<_> = calls
        .iter()
        .flat_map(|(_, reports)| reports.iter().map(|report| report.claim.job.clone()))
        .collect();
    let tx = core.db.begin().await?;
    let mut rows = store::lock(&tx, &names).await?;
    let (mut changed, mut pieces) = (BTreeSet::new(), Vec::new());
    let mut answers = Vec::with_capacity(calls.len());
    for (worker, reports) in calls {
        let mut answer = Vec::with_capacity(reports.len());
        for report in reports {
            let name = report.claim.job.clone();
            let result = match rows.get_mut(&name) {
                Some(row) => {
                    apply(core, row, &worker, report, now, &mut pieces).map(|(answer, dirty)| {
                        if dirty {
                            changed.insert(name);
                        }
                        answer
                    })
                }
                None => Err(Error::not_found(&name)),
            };
            answer.push(result);
        }
        answers.push(Ok(answer));
    }
    if changed.is_empty() {
        // Not just dropped: the rows would stay locked until the pool gets round to it.
        db::commit(tx).await?;
        return Ok(answers);
    }
    let dirty: Vec<&Row> = rows
        .values()
        .filter(|row| changed.contains(&row.name))
        .collect();
    store::save(&tx, &dirty).await?;
    append(&tx, &dirty, pieces).await?;
    let seqs: Vec<i64> = dirty.iter().map(|row| row.seq).collect();
    db::commit(tx).await?;
    core.hub.jobs_changed(seqs);
    Ok(answers)
}

/// What the worker is told, and whether the row has changed.
fn apply(
    core: &Core,
    row: &mut Row,
    worker: &str,
    report: Report,
    now: i64,
    pieces: &mut Vec<Piece>,
) -> Result<(Answer, bool)> {
    held(row, &report.claim, worker)?;
    let mut dirty = false;
    if let Some(progress) = report.progress {
        let next = row.state.next(Event::Reported(progress));
        let next = next.map_err(|_| {
            Error::invalid(
                "state",
                format!(
                    "an attempt does not go back from {:?} to {progress:?}",
                    row.state
                ),
            )
        })?;
        dirty = next != row.state;
        row.state = next;
    }
    if let Some(piece) = new_output(row, &report) {
        row.log_end = piece.start + i64::try_from(piece.data.len()).unwrap_or(i64::MAX);
        pieces.push(piece);
        dirty = true;
    }
    // A lease with two thirds of its time left need not be written again.
    let lease = core.lease_micros();
    let expires = row.expires.unwrap_or(now);
    if dirty || expires.saturating_sub(now) < lease / 3 * 2 {
        row.expires = Some(now.saturating_add(lease));
        dirty = true;
    }
    Ok((
        Answer {
            cancel: row.cancel,
            expires: row.expires.unwrap_or(now),
        },
        dirty,
    ))
}

/// The part of a report's output that is not there yet.
fn new_output(row: &Row, report: &Report) -> Option<Piece> {
    let known = usize::try_from(row.log_end.saturating_sub(report.log_offset)).unwrap_or(0);
    let data = report
        .log
        .get(known..)
        .filter(|data| !data.is_empty())?
        .to_vec();
    Some(Piece {
        job: row.seq,
        attempt: row.attempt,
        start: report.log_offset.max(row.log_end),
        data,
    })
}

async fn append(
    tx: &impl sea_orm::ConnectionTrait,
    rows: &[&Row],
    pieces: Vec<Piece>,
) -> Result<()> {
    let written: BTreeSet<i64> = pieces.iter().map(|piece| piece.job).collect();
    logs::append(tx, &pieces).await?;
    let slack = i64::try_from(MAX_PIECE).unwrap_or(i64::MAX);
    for row in rows.iter().filter(|row| written.contains(&row.seq)) {
        // A piece that begins before the cut reaches at most its own length beyond it.
        let cut = row.log_end.saturating_sub(KEPT).saturating_sub(slack);
        if cut > 0 {
            logs::trim(tx, row.seq, row.attempt, cut).await?;
        }
    }
    Ok(())
}
