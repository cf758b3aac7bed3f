//! The launcher of jobs in a Kubernetes cluster: a `batch/v1` Job for each attempt. It speaks the protocol of workers, as one worker whose jobs
//! outlive it: everything that it needs after a restart is in the cluster.

mod adopt;
mod attempt;
mod cluster;
mod fleet;
mod launcher;
mod manifest;
mod names;
mod pod;
mod seen;
mod settings;
mod trouble;
mod verdict;
mod watch;

use std::{sync::Arc, time::Duration};

use granary_core::{Error, Result, name::WorkerName};
use granary_runtime::Link;
use tokio_util::sync::CancellationToken;

pub use granary_worker::pod::Endpoints;
pub use names::EGRESS;
pub use settings::{Profile, Settings, Table, Toleration};

/// Issues a token of the worker that is good for so long.
pub type Tokens = Arc<dyn Fn(Duration) -> Result<String> + Send + Sync>;

/// What the launcher needs.
#[derive(Clone)]
pub struct Options {
    /// How it is to run jobs.
    pub settings: Settings,
    /// The worker's name.
    pub worker: WorkerName,
    /// Tokens for pods, of the same subject as that of `job`.
    pub tokens: Tokens,
    /// The Job service.
    pub job: Link,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Options({}, {:?})", self.worker, self.settings)
    }
}

impl Options {
    /// Runs jobs until `stop` is cancelled; what runs then runs on, and is taken over by whoever is next. Of one name there must be one at a time.
    ///
    /// Fails if the cluster cannot be called at all, or if the service refuses the worker. A service or a cluster that is away is waited for.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let cluster = cluster::Cluster::connect(&self.settings, &self.worker).await?;
        launcher::run(self, cluster, stop).await
    }
}

fn broken(what: &'static str) -> impl Fn(serde_json::Error) -> Error {
    move |error| Error::internal(what, error)
}
