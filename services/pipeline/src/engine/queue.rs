//! Taking sessions from the queue, holding them while they are worked on, and giving back what cannot go on now.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use granary_core::{Error, Result, name::SessionName};
use granary_runtime::task::Tasks;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Engine, LEASE, session};
use crate::store::works::{self, Work};

/// How many sessions are worked on at once. They wait for other services most of the time.
const SESSIONS: usize = 32;
/// How often the queue is looked at when nobody says that there is something new.
const IDLE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a session is tried when it fails for a reason that is no outage.
const ATTEMPTS: i64 = 8;

type Held = Arc<Mutex<HashMap<SessionName, i64>>>;

/// Works on what is due until the tasks stop.
pub(super) async fn run(engine: Arc<Engine>, tasks: Tasks) {
    let stop = tasks.stopping();
    let held = Held::default();
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
            () = engine.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Takes as many sessions as there are free slots, at least one; says whether any was there.
async fn take(
    engine: &Arc<Engine>,
    tasks: &Tasks,
    held: &Held,
    slots: &Arc<Semaphore>,
) -> Result<bool> {
    let closed = |error| Error::internal("waiting for a free slot", error);
    let mut permits = vec![slots.clone().acquire_owned().await.map_err(closed)?];
    while let Ok(permit) = slots.clone().try_acquire_owned() {
        permits.push(permit);
    }
    if works::next_due(&engine.db)
        .await?
        .is_none_or(|due| due > engine.now())
    {
        return Ok(false);
    }
    let works = works::claim(
        &engine.db,
        &engine.owner,
        permits.len(),
        engine.now(),
        engine.after(LEASE),
    )
    .await?;
    let any = !works.is_empty();
    for (work, permit) in works.into_iter().zip(permits) {
        held.lock().insert(work.session.clone(), work.lease);
        let (engine, held, stop) = (engine.clone(), held.clone(), tasks.stopping());
        tasks.spawn("pipeline-session", async move {
            tokio::select! {
                () = stop.cancelled() => hand_over(&engine, &work).await,
                () = work_on(&engine, &work) => {}
            }
            held.lock().remove(&work.session);
            drop(permit);
            engine.wake.notify_one();
        });
    }
    Ok(any)
}

/// Lets the next process go on at once, rather than when the lease ends.
async fn hand_over(engine: &Engine, work: &Work) {
    if let Err(error) = works::release(&engine.db, work, work.attempts, engine.now()).await {
        tracing::warn!(session = %work.session, %error, "a session could not be given back");
    }
}

async fn work_on(engine: &Engine, work: &Work) {
    let progressed = AtomicBool::new(false);
    let note = || progressed.store(true, Ordering::Relaxed);
    let Err(error) = session::process(engine, work, &note).await else {
        return;
    };
    let attempts = if progressed.into_inner() {
        0
    } else {
        work.attempts
    };
    tracing::warn!(session = %work.session, attempts, %error, cause = error.cause().map(tracing::field::display), "a session could not be worked on");
    let outage = error.is_transient()
        || matches!(
            error,
            Error::Aborted { .. } | Error::Unauthenticated { .. } | Error::Cancelled { .. }
        );
    let gone = matches!(error, Error::NotFound { .. });
    if (gone || (!outage && attempts + 1 >= ATTEMPTS))
        && session::give_up(engine, work, &error).await.is_ok()
    {
        return;
    }
    let pause = PAUSE
        .saturating_mul(1 << attempts.clamp(0, 10))
        .min(LONGEST_PAUSE);
    if let Err(error) = works::release(&engine.db, work, attempts + 1, engine.after(pause)).await {
        // The lease ends by itself.
        tracing::warn!(session = %work.session, %error, "a session could not be given back");
    }
}

/// Says, as long as this process lives, that it holds what it holds.
async fn renew(engine: Arc<Engine>, held: Held, tasks: Tasks) {
    let stop = tasks.stopping();
    let mut ticks = tokio::time::interval(LEASE / 3);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let sessions: Vec<SessionName> = held.lock().keys().cloned().collect();
        if sessions.is_empty() {
            continue;
        }
        if let Err(error) =
            works::renew(&engine.db, &engine.owner, &sessions, engine.after(LEASE)).await
        {
            tracing::warn!(%error, "leases could not be renewed");
        }
    }
}

/// How long to wait: until the next session is due, at most `longest`.
async fn until_due(engine: &Engine, longest: Duration) -> Duration {
    match works::next_due(&engine.db).await {
        Ok(Some(due)) => {
            let left = u64::try_from(due.saturating_sub(engine.now())).unwrap_or(0);
            // Never at once: the clock may stand.
            Duration::from_micros(left).clamp(Duration::from_millis(10), longest)
        }
        _ => longest,
    }
}
