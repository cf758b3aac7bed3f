//! `granary admin reindex`: what lies in the buckets, put into a database that does not know it. Storage says what there is, Metadata takes it;
//! what belongs together is decided here.

mod find;
mod met;
mod report;
mod session;
mod walk;

use std::sync::Arc;

use granary_core::{Error, clock::SystemClock, name::ProjectName};
use granary_metadata::restore::{Mode, Restorer, alone};
use granary_runtime::objects::answer;
use granary_storage::inventory::Inventory;

use crate::{
    failure::{Failure, Outcome},
    output::Out,
    serve::Offline,
};
use report::Report;
use walk::Walk;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Order {
    /// Only this project, or all.
    pub(crate) project: Option<ProjectName>,
    pub(crate) mode: Mode,
}

/// Does it, and says what it came to. Fails if anything could not be read.
pub(crate) async fn run(offline: &Offline, order: Order, out: &Out) -> Outcome {
    alone(&offline.database, order.mode).await?;
    let inventory = Inventory::open(&offline.objects)?;
    let restorer = Restorer::open(&offline.database, Arc::new(SystemClock), order.mode).await?;
    let report = Report::new(out, order.mode);
    let walk = Walk::new(
        &inventory,
        &restorer,
        &report,
        offline.objects.layout.clone(),
    );
    let walked = walk.all(order.project.as_ref()).await;
    let unknown = match &order.project {
        Some(project) if walked.is_ok() && !walk.knows(project).await? => Some(project),
        _ => None,
    };
    let closed = restorer.close().await;
    if let Some(project) = unknown {
        return Err(nothing_of(project));
    }
    let complete = report.end(walked.is_ok())?;
    walked.map_err(|trouble| broken(trouble, order.mode))?;
    closed?;
    match complete {
        true => Ok(()),
        false => Err(Failure::reported()),
    }
}

fn nothing_of(project: &ProjectName) -> Failure {
    let advice = "nothing of it lies in the buckets, and the database does not know it";
    Failure::from(Error::not_found(project)).advised(advice.into())
}

/// Why it ended before its end.
fn broken(trouble: Trouble, mode: Mode) -> Failure {
    let failure = Failure::from(answer::for_operator(trouble.into_error()));
    match mode.dry {
        true => failure,
        false => failure.advised("what was found so far is kept: the same command goes on".into()),
    }
}

/// Why something went wrong: that tells whether the rest can go on.
#[derive(Debug)]
enum Trouble {
    /// This one thing in the store is not what it should be.
    Unreadable(Error),
    /// The store or the database does not do what it should: the rest would fail too.
    Broken(Error),
}

impl Trouble {
    /// While the store was read.
    fn of_store(error: Error) -> Self {
        match error {
            Error::DataLoss { .. } | Error::NotFound { .. } | Error::Invalid(_) => {
                Self::Unreadable(error)
            }
            other => Self::Broken(other),
        }
    }

    /// While the database was asked; it refuses what it was told if that is wrong.
    fn of_index(error: Error) -> Self {
        match error {
            Error::Invalid(_) => Self::Unreadable(error),
            other => Self::Broken(other),
        }
    }

    fn into_error(self) -> Error {
        match self {
            Self::Unreadable(error) | Self::Broken(error) => error,
        }
    }
}
