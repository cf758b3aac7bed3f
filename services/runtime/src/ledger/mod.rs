//! What becomes of calls: logged, kept in the audit log, and counted for their projects.
//!
//! Nothing here keeps a call waiting: what is to be stored goes to Metadata in batches, soon after. While Metadata is away a bounded number of
//! entries waits; what comes beyond it is in the log only.

mod audit;
mod requests;

use std::{sync::Arc, time::Duration};

use granary_core::{Result, clock::SharedClock};
use tracing::Level;

use crate::{
    Link,
    auth::{Ended, Principal, Role, Verdict},
    task::Tasks,
};

/// The target of the structured log.
const TARGET: &str = "audit";

/// How long sending what is left may take at the end; the process waits a little longer.
const AT_THE_END: Duration = Duration::from_secs(12);

/// How calls are recorded.
#[derive(Clone)]
pub struct Options {
    /// What time it is.
    pub clock: SharedClock,
    /// How many proxies in front say by `x-forwarded-for` where a call came from; 0 believes nobody.
    pub trusted_hops: usize,
}

/// Records calls. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    options: Options,
    audit: audit::Log,
    requests: Arc<requests::Counts>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    /// Starts it. `metadata` is a way to the services Audit and Usage, with a service's token, that is not recorded itself. `tasks` should end
    /// after those that answer calls: what is left then is sent.
    pub fn start(tasks: &Tasks, metadata: &Link, options: Options) -> Self {
        let requests = Arc::new(requests::Counts::new(options.clock.clone()));
        requests::start(tasks, requests.clone(), metadata.clone());
        Self(Arc::new(Inner {
            audit: audit::Log::start(tasks, metadata.clone()),
            requests,
            options,
        }))
    }

    /// Waits until everything so far is stored, if it can be.
    pub async fn flush(&self) {
        self.0.audit.flush().await;
        self.0.requests.flush().await;
    }

    pub(crate) fn trusted_hops(&self) -> usize {
        self.0.options.trusted_hops
    }

    /// Whether calls that only read are logged.
    pub(crate) fn tells_reads() -> bool {
        tracing::enabled!(target: TARGET, Level::DEBUG)
    }

    /// Counts a call that names a project, unless it is of the platform's own services and workers. Fails if the project has had all calls
    /// that it may have today; administrators, who can change that, and workers, which do what was asked for before, are not kept from anything.
    pub(crate) fn request(
        &self,
        project: &str,
        caller: &Principal,
        role: Option<Role>,
    ) -> Result<()> {
        if matches!(caller.role, Some(Role::Service | Role::Worker)) || project == "-" {
            return Ok(());
        }
        match role {
            Some(Role::Administrator | Role::Worker) => {
                self.0.requests.count(project);
                Ok(())
            }
            _ => self.0.requests.admit(project),
        }
    }

    /// Takes note of a call that has ended.
    pub(crate) fn ended(&self, ended: Ended) {
        log(&ended);
        if ended.kept || ended.verdict == Verdict::Denied {
            self.0.audit.keep(ended, self.0.options.clock.now());
        }
    }
}

macro_rules! tell {
    ($level:expr, $ended:expr) => {{
        let ended = $ended;
        tracing::event!(
            target: TARGET,
            $level,
            subject = ended.caller.as_ref().map(|caller| &*caller.subject),
            issuer = ended.caller.as_ref().map(|caller| &*caller.issuer),
            on_behalf_of = ended.on_behalf_of.as_ref().map(|whose| &*whose.subject),
            method = ended.method,
            resource = ended.resource,
            items = ended.items,
            verdict = ?ended.verdict,
            code = ended.code as i32,
            latency_us = u64::try_from(ended.latency.as_micros()).unwrap_or(u64::MAX),
            request_id = ended.request_id,
            remote_address = ended.remote_address.map(tracing::field::display),
            "call"
        );
    }};
}

fn log(ended: &Ended) {
    if ended.kept || ended.verdict == Verdict::Denied {
        tell!(Level::INFO, ended);
    } else {
        tell!(Level::DEBUG, ended);
    }
}
