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
/// That a collector is away is said once, and not by its libraries each time.
const LIBRARIES: &str = "sqlx::pool=error,granary_trace=off,opentelemetry=off";
/// What is never logged: it writes down whole requests to the embedded store, and the signatures in their URLs hold for an hour.
const NEVER: &str = "s3s";

/// Starts logging, and the spans that `traces` exports. `filter` is a level such as `info`, or directives such as `info,granary_job=debug`. A second
/// call changes nothing.
pub fn init(filter: &str, format: Format, traces: Option<&Traces>) -> Result<(), String> {
    let filter = self::filter(filter)?;
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

fn filter(asked: &str) -> Result<EnvFilter, String> {
    let directives = asked.split(',').map(str::trim);
    let asked: Vec<_> = directives
        .filter(|directive| !directive.starts_with(NEVER))
        .collect();
    let filter = format!("{LIBRARIES},{},{NEVER}=off", asked.join(","));
    EnvFilter::try_new(filter).map_err(|error| format!("log: {error}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_with_their_signatures_are_not_logged_whatever_is_asked_for() {
        for asked in ["trace", "s3s=debug", "info,s3s::service=trace"] {
            let said = filter(asked).unwrap().to_string();
            assert_eq!(said.matches("s3s").count(), 1, "{said}");
            assert!(said.contains("s3s=off"), "{said}");
        }
    }
}
