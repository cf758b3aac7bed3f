//! What keeps values between the moments at which they are asked for.

use std::time::Duration;

use ::metrics::{describe_counter, describe_gauge, describe_histogram};
use granary_core::{Error, Result};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use metrics_util::MetricKindMask;
use tokio_util::sync::CancellationToken;

use super::{
    FORGOTTEN,
    names::{ALL, Kind},
    process,
};

/// How often values of histograms are put into their buckets, if nobody asks: until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// A recorder with the buckets of all histograms.
pub(super) fn build(component: &str) -> Result<PrometheusRecorder> {
    let mut builder = PrometheusBuilder::new()
        .add_global_label("component", component)
        .idle_timeout(MetricKindMask::GAUGE, Some(FORGOTTEN));
    for metric in ALL {
        if let Kind::Histogram(bounds) = metric.kind {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(metric.name.into()), bounds)
                .map_err(|error| Error::internal("setting up metrics", error))?;
        }
    }
    Ok(builder.build_recorder())
}

/// Has the process record from now on.
pub(super) fn install(component: &str) -> Result<PrometheusHandle> {
    let recorder = build(component)?;
    let handle = recorder.handle();
    ::metrics::set_global_recorder(recorder)
        .map_err(|error| Error::internal("setting up metrics", error))?;
    describe();
    Ok(handle)
}

/// Says what all metrics mean, to the recorder that is installed.
fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
    process::describe();
}

/// Keeps histograms small until `stop`.
pub(super) async fn upkeep(handle: &PrometheusHandle, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(UPKEEP) => handle.run_upkeep(),
        }
    }
}
