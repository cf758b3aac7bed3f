//! Metrics, for Prometheus.
//!
//! They are off unless the process is told where to tell them ([`Exporter::start`]); until then the macros [`counter!`], [`gauge!`] and
//! [`histogram!`] do nothing. The recorder is the one thing that is global in a process, as that of logs is: what is counted is counted wherever it
//! happens, and handed through no function. What counts often keeps its handles, which are made after the recorder, and formats nothing by call.
//!
//! A gauge is set again whenever metrics are asked for, or every few seconds, and never kept as a handle: one that nobody sets any more is
//! forgotten after [`FORGOTTEN`], so that whoever ceases to lead, or a project that is gone, is not told of for ever.

mod endpoint;
pub mod names;
mod process;
mod recorder;
mod rpc;
mod samples;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use granary_core::{Error, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::task::Tasks;

pub use ::metrics::{Counter, Histogram, counter, gauge, histogram};

pub(crate) use rpc::{Counted, answered, call};
use rpc::{Side, Table};
use samples::Samples;

/// After how long a gauge that is not set again is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(180);

static PROCESS: OnceLock<Option<Recording>> = OnceLock::new();

/// What is recorded, and how it is told.
#[derive(Debug)]
struct Recording {
    handle: PrometheusHandle,
    samples: Samples,
    served: Table,
    called: Table,
}

impl Recording {
    fn new(handle: PrometheusHandle) -> Self {
        Self {
            handle,
            samples: Samples::default(),
            served: Table::new(Side::Server),
            called: Table::new(Side::Client),
        }
    }

    /// All metrics as of now, in the text format of Prometheus.
    async fn tell(&self) -> String {
        self.samples.take().await;
        self.handle.render()
    }
}

/// Whether metrics are recorded in this process.
pub fn is_on() -> bool {
    process().is_some()
}

/// Has `sample` run whenever metrics are asked for, to set gauges, until the tasks stop. It has to be little work, whatever is stored: at most one
/// query of what an index tells. Does nothing if metrics are off.
pub fn sample<F>(tasks: &Tasks, sample: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    if let Some(recording) = process() {
        let (id, stop) = (recording.samples.add(sample), tasks.stopping());
        // What it holds, such as a database, goes with those who gave it.
        tasks.spawn("metrics", async move {
            stop.cancelled().await;
            recording.samples.remove(id);
        });
    }
}

/// Counts a call that was refused for its number: `rate` if too many wait, `quota` if its project has had all that it may have.
pub fn refused(reason: &'static str) {
    counter!(names::REQUESTS_REFUSED, "reason" => reason).increment(1);
}

/// Where metrics are told.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    recording: &'static Recording,
    listener: TcpListener,
}

impl Exporter {
    /// Begins to record, and listens. Comes before everything that is recorded. `component` is which part of the platform the process is; it stands
    /// on every metric. There is one recorder for a process: a second exporter tells what the first one does.
    pub async fn open(address: SocketAddr, component: &str) -> Result<Self> {
        let listener = crate::server::bind(address, "metrics", "--metrics-listen").await?;
        let failed = |error| Error::internal("listening", error);
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            recording: recording(component)?,
            listener,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `GET /metrics` until the tasks stop.
    pub fn start(self, tasks: &Tasks) {
        let (stop, inner) = (tasks.stopping(), tasks.clone());
        let (listener, recording) = (self.listener, self.recording);
        tasks.spawn("metrics", async move {
            endpoint::run(listener, recording, &inner, stop).await;
        });
        let (stop, handle) = (tasks.stopping(), &self.recording.handle);
        tasks.spawn("metrics upkeep", recorder::upkeep(handle, stop));
    }
}

/// What the process records from now on.
fn recording(component: &str) -> Result<&'static Recording> {
    let recording = PROCESS.get_or_init(|| {
        let installed = recorder::install(component);
        let failed = |error: &Error| tracing::error!(%error, "metrics cannot be recorded");
        installed.inspect_err(failed).ok().map(Recording::new)
    });
    recording.as_ref().ok_or_else(|| {
        let why = "this process records metrics in another way already";
        Error::precondition("metrics", why)
    })
}

fn process() -> Option<&'static Recording> {
    PROCESS.get()?.as_ref()
}
