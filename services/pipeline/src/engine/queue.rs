//! Taking sessions from the queue, holding them while they are worked on, and giving back what cannot go on now.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use granary_core::{Error, Result};
use granary_runtime::{
    db::in_time,
    task::Tasks,
    trace::{self, TARGET},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Span, field::Empty};

use super::{
    Engine, LEASE,
    failure::{self, Next},
    give_up::give_up,
    held::Held,
    session,
};
use crate::store::works::{self, Tries, Work};

/// How many sessions are worked on at once. They wait for other services most of the time.
const SESSIONS: usize = 32;
/// How often the queue is looked at when nobody says that there is something new: the word of another process may be lost.
const IDLE: Duration = Duration::from_secs(5);

/// Works on what is due until the tasks stop.
pub(super) async fn run(engine: Arc<Engine>, tasks: Tasks) {
    let stop = tasks.stopping();
    let held = Arc::<Held>::default();
    tasks.spawn(
        "pipeline-leases",
        renew(engine.clone(), held.clone(), tasks.clone()),
    );
    let slots = Arc::new(Semaphore::new(SESSIONS));
    loop {
        let started = tokio::select! {
            () = stop.cancelled() => return,
            started = take(&engine, &tasks, &held, &slots) => started,
        };
        let pause = match started {
            Ok(true) => continue,
            Ok(false) => IDLE,
            Err(error) => {
                tracing::warn!(%error, cause = error.cause().map(tracing::field::display), "the queue cannot be read: trying again");
                IDLE
            }
        };
        let pause = until_due(&engine, pause).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = engine.due.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Takes as many sessions as there are free slots, at least one; says whether any was there.
async fn take(
    engine: &Arc<Engine>,
    tasks: &Tasks,
    held: &Arc<Held>,
    slots: &Arc<Semaphore>,
) -> Result<bool> {
    let closed = |error| Error::internal("waiting for a free slot", error);
    let mut permits = vec![slots.clone().acquire_owned().await.map_err(closed)?];
    while let Ok(permit) = slots.clone().try_acquire_owned() {
        permits.push(permit);
    }
    let works = in_time(claim(engine, permits.len())).await?;
    let any = !works.is_empty();
    for (work, permit) in works.into_iter().zip(permits) {
        start(engine, tasks, held, work, permit);
    }
    Ok(any)
}

/// Leases up to so many of the sessions that are due.
async fn claim(engine: &Engine, most: usize) -> Result<Vec<Work>> {
    let due = works::next_due(&engine.db).await?;
    if due.is_none_or(|due| due > engine.now()) {
        return Ok(Vec::new());
    }
    let (now, until) = (engine.now(), engine.after(LEASE));
    works::claim(&engine.db, &engine.owner, most, now, until).await
}

/// Starts to work on a session, until it is done, the tasks stop, or its lease is lost.
fn start(
    engine: &Arc<Engine>,
    tasks: &Tasks,
    held: &Arc<Held>,
    work: Work,
    permit: OwnedSemaphorePermit,
) {
    let hold = held.hold(&work);
    let (engine, stop) = (engine.clone(), tasks.stopping());
    let span = tracing::info_span!(
        target: TARGET,
        "session",
        otel.name = "pipeline session",
        otel.status_code = Empty,
        granary.session = %work.session,
        granary.attempt = work.tries.attempts + 1,
    );
    let parent = work.trace.clone();
    let working = async move {
        tokio::select! {
            biased;
            () = stop.cancelled() => hand_over(&engine, &work).await,
            // The lease ends with the work too: whoever is done has lost nothing.
            () = work_on(&engine, &work) => {}
            () = hold.lost() => {
                tracing::warn!(session = %work.session, lease = work.lease, "the lease of a session was lost: whoever has it goes on");
            }
        }
        drop((hold, permit));
        engine.due.notify_one();
    };
    tasks.spawn("pipeline-session", trace::within(span, parent, working));
}

/// Lets the next process go on at once, rather than when the lease ends.
async fn hand_over(engine: &Engine, work: &Work) {
    give_back(engine, work, work.tries, Duration::ZERO).await;
    engine.is_due();
}

async fn give_back(engine: &Engine, work: &Work, tries: Tries, pause: Duration) {
    let released = works::release(&engine.db, work, tries, engine.after(pause));
    if let Err(error) = in_time(released).await {
        // The lease ends by itself.
        tracing::warn!(session = %work.session, %error, "a session could not be given back");
    }
}

async fn work_on(engine: &Engine, work: &Work) {
    let progressed = AtomicBool::new(false);
    let note = || progressed.store(true, Ordering::Relaxed);
    let worked = session::process(engine, work, &note).await;
    trace::ended(&Span::current(), &worked);
    let Err(error) = worked else {
        return;
    };
    let before = if progressed.into_inner() {
        Tries::default()
    } else {
        work.tries
    };
    tracing::warn!(session = %work.session, attempts = before.attempts, %error, cause = error.cause().map(tracing::field::display), "a session could not be worked on");
    let (tries, pause) = match failure::next(&error, before) {
        Next::Again(tries, pause) => (tries, pause),
        Next::GiveUp(tries) => match give_up(engine, work, &error).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(session = %work.session, %error, "a session could not be given up");
                (tries, failure::pause(tries))
            }
        },
    };
    give_back(engine, work, tries, pause).await;
}

/// Says, as long as this process lives, that it holds what it holds.
async fn renew(engine: Arc<Engine>, held: Arc<Held>, tasks: Tasks) {
    let stop = tasks.stopping();
    let mut ticks = tokio::time::interval(LEASE / 3);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let leases = held.leases();
        if leases.is_empty() {
            continue;
        }
        let renewed = works::renew(&engine.db, &engine.owner, &leases, engine.after(LEASE));
        match in_time(renewed).await {
            Ok(renewed) => held.lose(leases.iter().filter(|lease| !renewed.contains(lease))),
            Err(error) => tracing::warn!(%error, "leases could not be renewed"),
        }
    }
}

/// How long to wait: until the next session is due, at most `longest`.
async fn until_due(engine: &Engine, longest: Duration) -> Duration {
    match in_time(works::next_due(&engine.db)).await {
        Ok(Some(due)) => {
            let left = u64::try_from(due.saturating_sub(engine.now())).unwrap_or(0);
            // Never at once: the clock may stand.
            Duration::from_micros(left).clamp(Duration::from_millis(10), longest)
        }
        _ => longest,
    }
}
