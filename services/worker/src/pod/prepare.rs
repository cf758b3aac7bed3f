//! Before the user's container starts: brings the inputs, and the program that will run the user's.

use std::path::Path;

use granary_core::{Error, Result};
use granary_runtime::task::Tasks;

use super::{
    Said,
    order::{self, PAUSE},
    place,
    tried::tried,
};
use crate::{
    attempt::Attempt,
    board::Board,
    folder::Working,
    refusal::Refusal,
    report::{self, Interval},
    traced,
};

/// Prepares the pod; whether its program may start. If not, it is said why.
pub async fn prepare() -> Result<bool> {
    let tasks = Tasks::new();
    let said = Path::new(place::SAID);
    copy_program().await?;
    let ready = order::read(&tasks).await?;
    let board = Board::default();
    let held = board.hold(&ready.name.to_string(), ready.lease.lease_number);
    let (interval, refusal, stop) = (Interval::default(), Refusal::default(), tasks.stopping());
    let attempt = Attempt::new(&ready.tools, &held, ready.lease.clone());
    let working = Working::of_pod(Path::new(place::FILES), Path::new(place::OUTPUT));
    let preparing = tried(PAUSE, async || attempt.prepare(&ready.name, &working).await);
    let prepared = tokio::select! {
        prepared = traced::phase("prepare", preparing) => prepared,
        () = report::report(&ready.api, &board, &interval, &refusal, stop) => Err(attempt.stopped()),
        () = held.stop.cancelled() => Err(attempt.stopped()),
    };
    match prepared {
        Ok(()) => Ok(true),
        Err(outcome) => {
            tracing::warn!(message = outcome.message, "cannot prepare the attempt");
            Said::of(outcome).say(said).await?;
            Ok(false)
        }
    }
}

/// The same program that runs here: it needs nothing of the image that it runs in.
async fn copy_program() -> Result<()> {
    let to = Path::new(place::PROGRAM_TO).join("granary");
    let copied = tokio::fs::copy("/proc/self/exe", &to).await;
    copied
        .map(drop)
        .map_err(|error| Error::precondition(to.display(), format!("cannot write it: {error}")))
}
