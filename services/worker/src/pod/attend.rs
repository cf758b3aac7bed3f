//! Beside the user's container: streams its output, and once it has ended sends back what it made.

use std::{path::Path, sync::Arc, time::Duration};

use granary_core::{Result, name::JobName};
use granary_proto::job::v1::{FailureClass, JobState};
use granary_runtime::task::Tasks;
use tokio_util::sync::CancellationToken;

use super::{Said, order, order::Ready, place, seen::Seen, tail::Tail};
use crate::{
    api::Api,
    attempt::{Attempt, Outcome},
    board::{Board, Held, Why},
    folder::Working,
    launch::Ending,
    refusal::Refusal,
    report::{self, Interval},
    traced,
};

/// How often the program's output is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long the last output may take to reach the service; all of it is in the log session anyway.
const FLUSH: Duration = Duration::from_secs(10);
/// How long the log of a program that was stopped may take to be sent.
const HURRY: Duration = Duration::from_secs(30);

/// Attends the program until `stop`, which Kubernetes gives once the containers that are attended have ended, and not before; then sends back
/// what it made and says how it went.
///
/// Nothing else would do as a sign: while anything of the user's container still runs, it could put a link in the place of a file that is about to
/// be sent.
pub async fn attend(stop: CancellationToken) -> Result<()> {
    let tasks = Tasks::new();
    let ready = order::read(&tasks).await?;
    let board = Arc::new(Board::default());
    let held = board.hold(&ready.name.to_string(), ready.lease.lease_number);
    let (api, all, over) = (ready.api.clone(), board.clone(), tasks.stopping());
    tasks.spawn("report", async move {
        report::report(&api, &all, &Interval::default(), &Refusal::default(), over).await
    });
    let outcome = attended(&ready, &held, &stop).await;
    let _ = tokio::time::timeout(FLUSH, held.flushed()).await;
    tracing::info!(
        job = held.job,
        failure = ?outcome.failure,
        message = outcome.message,
        "attempt ended"
    );
    Said::of(outcome).say(Path::new(place::SAID)).await
}

async fn attended(ready: &Ready, held: &Arc<Held>, stop: &CancellationToken) -> Outcome {
    traced::phase("run", follow(held, stop)).await;
    let attempt = Attempt::new(&ready.tools, held, ready.lease.clone());
    let seen = Seen::read(Path::new(place::SEEN));
    let outcome = judge(&attempt, &ready.api, &seen).await;
    held.progress(JobState::Finishing);
    traced::phase("finish", collect(&attempt, &ready.name, &seen, outcome)).await
}

/// Streams output until the program has ended, and then the rest of it.
async fn follow(held: &Arc<Held>, stop: &CancellationToken) {
    let (output, seen) = (Path::new(place::OUTPUT), Path::new(place::SEEN));
    let mut tail = Tail::default();
    let mut running = false;
    let all = async {
        loop {
            let over = stop.is_cancelled();
            if !running && Seen::read(seen).begun {
                running = true;
                held.progress(JobState::Running);
            }
            let piece = tail.next(output);
            if !piece.is_empty() {
                held.write(&piece).await;
            } else if over {
                return;
            } else {
                let _ = tokio::time::timeout(LOOK, stop.cancelled()).await;
            }
        }
    };
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(FLUSH).await;
    };
    tokio::select! {
        () = all => {}
        () = patience => {}
    }
}

async fn judge(attempt: &Attempt<'_>, api: &Api, seen: &Seen) -> Outcome {
    if let Some(why) = &seen.cannot_start {
        // The image will be the same next time.
        return Outcome::failed(
            FailureClass::Application,
            format!("cannot start the program: {why}"),
        );
    }
    match seen.exit() {
        Some(exit) => {
            if exit.ending == Ending::Stopped {
                learn_why(attempt.held, api).await;
            }
            attempt.judge(&attempt.program("/".into()), exit)
        }
        None if seen.begun => Outcome::failed(
            FailureClass::Infrastructure,
            "the program's container was killed",
        ),
        None => Outcome::failed(
            FailureClass::Infrastructure,
            "the program's container did not start",
        ),
    }
}

/// Asks whether somebody cancelled the job, since what stopped the program does not say so.
async fn learn_why(held: &Held, api: &Api) {
    let answers = api.report(vec![held.report(0)]).await;
    if answers.is_ok_and(|answers| answers.iter().any(|answer| answer.cancel)) {
        held.stop(Why::Cancelled);
    }
}

async fn collect(attempt: &Attempt<'_>, name: &JobName, seen: &Seen, outcome: Outcome) -> Outcome {
    if !seen.begun {
        return outcome;
    }
    if attempt.held.why() == Some(Why::Lost) {
        return attempt.stopped();
    }
    let working = Working::of_pod(Path::new(place::FILES), Path::new(place::OUTPUT));
    // Who stopped the program waits for the pod.
    let stopped = seen.exit().map(|exit| exit.ending) == Some(Ending::Stopped);
    if !stopped {
        return attempt.collect(name, &working, outcome).await;
    }
    let collected = attempt.collect(name, &working, outcome.clone());
    let collected = tokio::time::timeout(HURRY, collected).await;
    collected.unwrap_or(outcome)
}
