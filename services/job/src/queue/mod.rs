//! The queue: who gets which job, what is heard of it, and how it ends. Everything works on batches, in one transaction each.

pub(crate) mod acquire;
pub(crate) mod end;
pub(crate) mod expire;
pub(crate) mod finish;
pub(crate) mod report;
mod room;

use granary_core::{Error, Result, name::JobName};

use crate::store::jobs::Row;

/// A lease that a worker says it has.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub job: JobName,
    pub lease: i64,
}

impl Claim {
    pub(crate) fn parse(job: &str, lease: i64) -> Result<Self> {
        Ok(Self {
            job: JobName::parse(job).map_err(|error| error.within("job"))?,
            lease,
        })
    }
}

/// Fails unless this worker holds the job by this lease.
fn held(row: &Row, claim: &Claim, worker: &str) -> Result<()> {
    if row.lease == claim.lease && row.state.is_held() && row.worker.as_deref() == Some(worker) {
        return Ok(());
    }
    Err(lost(&claim.job, claim.lease))
}

fn lost(job: &JobName, lease: i64) -> Error {
    Error::precondition(
        job,
        format!("the lease {lease} is lost: stop the job and forget it"),
    )
}
