//! Spans on their way to a collector: OTLP over gRPC, from a queue with an end, by a thread of its own.
//!
//! How is said by the standard variables, which the libraries of OpenTelemetry read themselves: `OTEL_EXPORTER_OTLP_*` (where to), `OTEL_BSP_*` (the
//! queue: 2,048 spans unless it says otherwise; what does not fit is dropped and counted in the log), `OTEL_TRACES_SAMPLER*` (which traces),
//! `OTEL_RESOURCE_ATTRIBUTES`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use granary_core::{Error, Result};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{self, SdkTracerProvider, SpanData},
};
use tonic::transport::ClientTlsConfig;
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::TARGET;

/// How long the last spans have to get to the collector: nobody waits longer for one that is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a process lives that exports spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It ends once it has done what it was called for, and its spans are tried to be sent once.
    Short,
    /// It goes on until it is stopped: a collector that is away may come back.
    Long,
}

/// Exports spans.
#[derive(Clone, Debug)]
pub struct Traces(SdkTracerProvider);

/// Says when the collector begins not to take spans, and when it takes them again: the library says it each time.
#[derive(Debug)]
struct Told<E> {
    exporter: E,
    fails: AtomicBool,
}

impl<E: trace::SpanExporter> trace::SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exported = self.exporter.export(batch).await;
        match (
            &exported,
            self.fails.swap(exported.is_err(), Ordering::Relaxed),
        ) {
            (Err(error), false) => {
                tracing::warn!(%error, "spans are not exported, and lost until the collector takes them");
            }
            (Ok(()), true) => tracing::info!("spans are exported again"),
            _ => {}
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl Traces {
    /// Starts to export, as a service of this name. Has to be called within the runtime.
    ///
    /// # Errors
    /// [`Error::Invalid`] if what the variables say cannot be.
    pub fn start(service: &str, life: Life) -> Result<Self> {
        crate::install_tls();
        let retry = match life {
            Life::Short => RetryPolicy::disabled(),
            Life::Long => RetryPolicy::default(),
        };
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_tls_config(ClientTlsConfig::new().with_native_roots())
            .with_retry_policy(retry)
            .build()
            .map_err(|error| Error::invalid("OTEL_EXPORTER_OTLP_ENDPOINT", error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attribute(KeyValue::new("service.namespace", "granary"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let exporter = Told {
            exporter,
            fails: AtomicBool::new(false),
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        // For spans that are not made as they begin, like the subscriber of the others one for all of the process.
        opentelemetry::global::set_tracer_provider(provider.clone());
        Ok(Self(provider))
    }

    /// Exports to wherever a test wants.
    #[cfg(test)]
    pub(crate) fn to(exporter: impl opentelemetry_sdk::trace::SpanExporter + 'static) -> Self {
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter);
        Self(provider.build())
    }

    /// The layer that takes the spans that are for export.
    pub(crate) fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        // Nothing but what the spans are given: no lines of source, no threads, no log messages.
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("granary"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(Targets::new().with_target(TARGET, tracing::Level::INFO))
            .boxed()
    }

    /// Sends what is left, for at most 2 seconds.
    pub async fn end(self) {
        let end = move || self.0.shutdown_with_timeout(PATIENCE);
        match tokio::task::spawn_blocking(end).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last spans were not exported"),
            Err(error) => tracing::warn!(%error, "exporting spans broke down"),
        }
    }
}
