//! The keys of an issuer as they are known now: fetched again from time to time, and at once for a token with a key that is not known.

use std::{sync::Arc, time::Duration};

use granary_core::{Error, Result};
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        jwt::{Algorithm, Reason, UNKNOWN_KEY},
        keys::{Key, Keys, Set},
    },
    Discovery, OidcIssuer,
};
use crate::{outbound::Outbound, task::Tasks};

/// When keys are fetched.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Timing {
    /// How often without a reason.
    pub(in super::super) every: Duration,
    /// How long after one that an unknown key has caused before another causes the next: nobody can make Granary flood an issuer.
    pub(in super::super) gap: Duration,
    /// How long an issuer may take.
    pub(in super::super) timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(300),
            gap: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
        }
    }
}

/// The keys of one issuer.
#[derive(Debug)]
pub(in super::super) struct Keyring {
    issuer: OidcIssuer,
    http: Outbound,
    timing: Timing,
    keys: RwLock<Keys>,
    asked: Mutex<Asked>,
    wake: Notify,
    /// How many times keys were fetched or could not be.
    ended: watch::Sender<u64>,
    stopping: CancellationToken,
}

/// Whether an unknown key makes keys be fetched.
#[derive(Debug, Default)]
struct Asked {
    last: Option<Instant>,
    pending: bool,
}

impl Keyring {
    /// Keys that a task keeps fresh. An issuer that is away at the start is asked again when somebody comes with one of its tokens.
    pub(in super::super) fn start(
        issuer: OidcIssuer,
        timing: Timing,
        tasks: &Tasks,
    ) -> Result<Arc<Self>> {
        let ring = Arc::new(Self {
            http: issuer.outbound(timing.timeout)?,
            issuer,
            timing,
            keys: RwLock::default(),
            asked: Mutex::default(),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
            stopping: tasks.stopping(),
        });
        let kept = ring.clone();
        tasks.spawn("issuer-keys", async move { kept.keep().await });
        Ok(ring)
    }

    pub(in super::super) fn issuer(&self) -> &OidcIssuer {
        &self.issuer
    }

    /// The key for a token with this header.
    pub(in super::super) async fn find(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Arc<Key>, Reason> {
        let find = || self.keys.read().find(algorithm, id);
        // From here on no end of a fetch is missed.
        let mut ended = self.ended.subscribe();
        let mut found = find();
        if is_unknown(&found) && !self.ask() {
            return found;
        }
        while is_unknown(&found) {
            tokio::select! {
                changed = ended.changed() => changed.map_err(|_| UNKNOWN_KEY)?,
                () = self.stopping.cancelled() => return found,
            }
            let last = !self.asked.lock().pending;
            found = find();
            if last {
                break;
            }
        }
        found
    }

    /// Has keys fetched, unless that was done just now; says whether it is worth waiting.
    fn ask(&self) -> bool {
        let mut asked = self.asked.lock();
        if asked.pending {
            return true;
        }
        if asked
            .last
            .is_some_and(|last| last.elapsed() < self.timing.gap)
        {
            return false;
        }
        *asked = Asked {
            last: Some(Instant::now()),
            pending: true,
        };
        self.wake.notify_one();
        true
    }

    async fn keep(&self) {
        let mut period = tokio::time::interval(self.timing.every);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = self.wake.notified() => true,
                _ = period.tick() => false,
            };
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.refresh() => {}
            }
            if asked {
                self.asked.lock().pending = false;
                period.reset();
            }
            self.ended.send_modify(|count| *count += 1);
        }
    }

    async fn refresh(&self) {
        let issuer = &self.issuer.issuer;
        let fetched = tokio::time::timeout(self.timing.timeout, self.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| {
            Err(Error::DeadlineExceeded {
                reason: "the issuer does not answer in time".into(),
            })
        });
        match fetched {
            Ok(keys) => {
                let mut held = self.keys.write();
                let (now, change) = keys.after(&held);
                *held = now;
                if held.len() == 0 {
                    tracing::error!(
                        issuer,
                        ?change,
                        "the issuer has no key that can be used: its tokens are refused"
                    );
                } else if change.added + change.removed > 0 {
                    tracing::info!(issuer, keys = held.len(), ?change, "keys of an issuer");
                }
            }
            Err(error) => {
                let known = self.keys.read().len();
                let cause = error.cause().map(ToString::to_string);
                tracing::warn!(issuer, known, %error, cause, "cannot fetch the keys of an issuer: known ones go on");
            }
        }
    }

    async fn fetch(&self) -> Result<Keys> {
        let url = match &self.issuer.jwks_url {
            Some(url) => url.clone(),
            None => {
                let token = self
                    .issuer
                    .token_for(&Discovery::url(&self.issuer.issuer)?)?;
                Discovery::get(&self.http, &self.issuer.issuer, token.as_deref())
                    .await?
                    .jwks_url(&self.http)?
            }
        };
        let token = self.issuer.token_for(&url)?;
        let set: Set = self.http.get_json(&url, token.as_deref()).await?;
        Keys::parse(set)
    }
}

fn is_unknown(found: &Result<Arc<Key>, Reason>) -> bool {
    matches!(found, Err(reason) if *reason == UNKNOWN_KEY)
}
