//! Logs, to standard error: for people on a terminal, as JSON for collectors.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, Layer, fmt, prelude::*, registry::LookupSpan};

use crate::trace::{Identified, Traces};

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged of libraries whatever the level, unless asked for by name: waiting in line for SQLite's one writer is nothing to warn of. Spans
/// that are exported are for collectors of traces: lines name their trace, and do not repeat them.
const LIBRARIES: &str = "sqlx::pool=error,granary_trace=off";

/// Starts logging, and the spans that `traces` exports. `filter` is a level such as `info`, or directives such as `info,granary_job=debug`. A second
/// call changes nothing.
pub fn init(filter: &str, format: Format, traces: Option<&Traces>) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{LIBRARIES},{filter}"))
        .map_err(|error| format!("log: {error}"))?;
    let registry = tracing_subscriber::registry();
    let _ = match traces {
        None => registry.with(filter).with(lines(format)).try_init(),
        Some(traces) => registry
            .with(lines(format).with_filter(filter))
            .with(traces.layer())
            .try_init(),
    };
    Ok(())
}

fn lines<S>(format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(true);
    match format {
        Format::Json => layer
            .json()
            .flatten_event(true)
            .map_event_format(Identified)
            .boxed(),
        Format::Text => layer.with_ansi(std::io::stderr().is_terminal()).boxed(),
    }
}
