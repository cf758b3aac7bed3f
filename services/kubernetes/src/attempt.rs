//! One attempt, from its lease to its end.

use std::{sync::Arc, time::Duration};

use granary_proto::job::v1::{FailureClass, JobFinish, JobState, Lease};
use granary_runtime::trace::{self, Parent, TARGET};
use granary_worker::{
    board::{Held, Why},
    pod::Said,
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use crate::{
    cluster::Failure,
    launcher::Launcher,
    manifest::{self, Known},
    seen::Seen,
    trouble::no_room,
    verdict::{Limits, Verdict, verdict},
};

/// How long the cluster may be away while a Job is made.
const MAKING: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(2);
/// How long a pod that is to end may take before the service is told without it.
const LEAVING: Duration = Duration::from_secs(60);
/// How long no more jobs are taken once there was no room for one.
const REST: Duration = Duration::from_secs(15);

impl Launcher {
    /// Makes an attempt of a lease.
    pub(crate) async fn leased(&self, lease: Lease) {
        let job = lease.job.as_ref();
        let parent = job.and_then(|job| Parent::parse(&job.trace_parent));
        let span = tracing::info_span!(
            target: TARGET,
            "attempt",
            granary.job = job.map(|job| job.name.as_str()),
            granary.attempt = lease.attempt,
        );
        trace::within(span, parent, self.attempt(lease)).await;
    }

    async fn attempt(&self, lease: Lease) {
        let known = match Known::of(&lease) {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(%error, "a lease is not understood: it is left to its end");
                return;
            }
        };
        tracing::info!(job = %known.job, attempt = lease.attempt, object = known.object, "attempt begins");
        let Some(seen) = self.fleet.add(&known.object, Seen::default()) else {
            return;
        };
        let held = self.hold(&known);
        let made = tokio::select! {
            made = self.make(&known, &lease) => made,
            () = held.stop.cancelled() => Ok(()),
            () = self.stop.cancelled() => Ok(()),
        };
        match made {
            Ok(()) => self.follow(&known, &held, seen).await,
            Err(said) => self.end(&known, &held, said, false).await,
        }
        self.forget(&known, &held);
    }

    /// Goes on with an attempt that was found in the cluster.
    pub(crate) async fn adopted(&self, known: Known, seen: Seen) {
        tracing::info!(job = %known.job, object = known.object, "goes on with an attempt");
        let Some(seen) = self.fleet.add(&known.object, seen) else {
            return;
        };
        let held = self.hold(&known);
        self.follow(&known, &held, seen).await;
        self.forget(&known, &held);
    }

    /// Keeps the lease; how far the attempt is, its pod says.
    fn hold(&self, known: &Known) -> Arc<Held> {
        let job = known.job.to_string();
        self.board.hold_in(&job, known.lease, JobState::Unspecified)
    }

    fn forget(&self, known: &Known, held: &Held) {
        self.fleet.remove(&known.object);
        self.board.release(held);
    }

    async fn make(&self, known: &Known, lease: &Lease) -> Result<(), Said> {
        let begun = Instant::now();
        loop {
            let (end, patience) = match self.try_make(known, lease).await? {
                Ok(()) => return Ok(()),
                Err(Failure::Quota(why)) => {
                    (no_room(&why), self.options.settings.schedule_patience)
                }
                Err(Failure::Refused(why)) => {
                    let message = format!("the cluster does not take the job as it is: {why}");
                    return Err(Said::failed(FailureClass::Application, message));
                }
                Err(Failure::Away(why)) => {
                    let message = format!("the cluster cannot be called: {why}");
                    (Said::returned(message), MAKING)
                }
            };
            if begun.elapsed() >= patience {
                return Err(end);
            }
            tracing::warn!(
                object = known.object,
                why = end.message,
                "cannot make a Job: will try again"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Makes the Job, then its Secret, then lets it begin: whatever is interrupted is either not begun or complete.
    async fn try_make(&self, known: &Known, lease: &Lease) -> Result<Result<(), Failure>, Said> {
        let broken = |error: granary_core::Error| {
            tracing::error!(%error, "cannot make a Job");
            Said::failed(FailureClass::Infrastructure, error.to_string())
        };
        let job = manifest::job(&self.options, known, lease)
            .map_err(broken)?
            .map_err(|message| Said::failed(FailureClass::Application, message))?;
        let token = (self.options.tokens)(known.token_lifetime()).map_err(broken)?;
        let owner = match self.cluster.create_job(&job).await {
            Ok(owner) => owner,
            Err(failure) => return Ok(Err(failure)),
        };
        let secret = manifest::secret(&self.options, known, lease, &token, &owner);
        if let Err(failure) = self.cluster.create_secret(&secret.map_err(broken)?).await {
            return Ok(Err(failure));
        }
        Ok(self.cluster.begin(&known.object).await)
    }

    /// Waits for its end, and tells it.
    async fn follow(&self, known: &Known, held: &Held, mut seen: watch::Receiver<Seen>) {
        let limits = self.limits(known);
        let mut stuck: Option<(&str, Instant)> = None;
        let mut leaving = None;
        loop {
            let found = verdict(&seen.borrow_and_update(), &limits);
            let mut until = leaving;
            match found {
                Verdict::Ended(said) => return self.end(known, held, said, true).await,
                Verdict::Stuck {
                    what,
                    patience,
                    end,
                } => {
                    let since = stuck.filter(|(same, _)| *same == what);
                    if since.is_none() {
                        tracing::info!(object = known.object, why = end.message, "does not get on");
                    }
                    let (_, since) = *stuck.insert(since.unwrap_or((what, Instant::now())));
                    let at = since + patience;
                    if Instant::now() >= at {
                        return self.end(known, held, end, false).await;
                    }
                    until = Some(until.map_or(at, |until: Instant| until.min(at)));
                }
                Verdict::Going => stuck = None,
            }
            if leaving.is_some_and(|at| Instant::now() >= at) {
                return self
                    .end(known, held, cancelled(Said::default()), false)
                    .await;
            }
            tokio::select! {
                changed = seen.changed() => if changed.is_err() { return },
                () = held.stop.cancelled(), if leaving.is_none() => {
                    self.delete(known).await;
                    if held.why() == Some(Why::Lost) {
                        return;
                    }
                    leaving = Some(Instant::now() + LEAVING);
                }
                () = at(until) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    fn limits(&self, known: &Known) -> Limits {
        let settings = &self.options.settings;
        Limits {
            memory_bytes: known.memory_bytes,
            timeout: known.timeout,
            image_patience: settings.image_patience,
            schedule_patience: settings.schedule_patience,
        }
    }

    /// Tells the service, and once it knows, notes that in the cluster; what may still run there is deleted.
    async fn end(&self, known: &Known, held: &Held, said: Said, ran: bool) {
        let said = match held.why() {
            Some(Why::Lost) => return self.delete(known).await,
            Some(Why::Cancelled) if said.failure() != FailureClass::Unspecified => cancelled(said),
            _ => said,
        };
        if said.handed_back {
            self.rest(REST);
        }
        tracing::info!(job = held.job, object = known.object, failure = ?said.failure(), message = said.message, "attempt ended");
        let (sender, done) = oneshot::channel();
        if self
            .finishes
            .send((finish(held, said), sender))
            .await
            .is_err()
            || done.await.is_err()
        {
            return;
        }
        // Who stops is answered too, without anybody having been told: whoever is next tells it.
        if self.stop.is_cancelled() {
            return;
        }
        if ran {
            if let Err(failure) = self.cluster.told(&known.object).await {
                tracing::warn!(
                    ?failure,
                    object = known.object,
                    "cannot note that an end was told"
                );
            }
        } else {
            self.delete(known).await;
        }
    }

    async fn delete(&self, known: &Known) {
        for _ in 0..3 {
            match self.cluster.delete(&known.object).await {
                Ok(()) => return,
                Err(failure) => {
                    tracing::warn!(?failure, object = known.object, "cannot delete a Job");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn cancelled(said: Said) -> Said {
    Said::failed(FailureClass::Cancelled, "it was cancelled").after(said)
}

fn finish(held: &Held, said: Said) -> JobFinish {
    JobFinish {
        job: held.job.clone(),
        lease_number: held.lease,
        failure: said.failure().into(),
        exit_code: said.exit_code,
        peak_memory_bytes: i64::try_from(said.peak_memory_bytes).unwrap_or(i64::MAX),
        outputs: said.outputs,
        handed_back: said.handed_back,
        message: said.message,
    }
}
