//! Logs, to standard error: for people on a terminal, as JSON for collectors.

use std::io::IsTerminal as _;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged of libraries whatever the level, unless asked for by name: waiting in line for SQLite's one writer is nothing to warn of.
const LIBRARIES: &str = "sqlx::pool=error";

/// Starts logging. `filter` is a level such as `info`, or directives such as `info,granary_job=debug`. A second call changes nothing.
pub fn init(filter: &str, format: Format) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{LIBRARIES},{filter}"))
        .map_err(|error| format!("log: {error}"))?;
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(true);
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match format {
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        Format::Text => registry
            .with(layer.with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
    };
    Ok(())
}
