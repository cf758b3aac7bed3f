//! Traces: what follows from what, from the command through all services to the last step of what was started by it.
//!
//! A span is exported if its target is [`TARGET`] and the process exports at all, as the standard variables of OpenTelemetry say. Where one piece of
//! work starts another, in another process or later, it hands on its [`Parent`]: in the `traceparent` header of calls, and as text in what is stored.
//! That happens whether spans are exported here or not, so that a process that exports none does not tear the traces of others.
//!
//! A process's own housekeeping (leases, heartbeats, event streams) is part of no trace, and starts none where it calls.

/// A span of one call, whose names and end are noted later.
macro_rules! rpc_span {
    ($name:literal, $kind:literal $(, $($more:tt)+)?) => {
        tracing::info_span!(
            target: $crate::trace::TARGET,
            $name,
            otel.name = tracing::field::Empty,
            otel.kind = $kind,
            otel.status_code = tracing::field::Empty,
            rpc.system = "grpc",
            rpc.service = tracing::field::Empty,
            rpc.method = tracing::field::Empty,
            rpc.grpc.status_code = tracing::field::Empty
            $(, $($more)+)?
        )
    };
}

mod body;
mod client;
mod export;
mod lines;
mod parent;
mod past;
mod server;
#[cfg(test)]
mod tests;

use tracing::{Instrument as _, Span};

pub use export::{Life, Traces};
pub use parent::{MAX_BYTES, Parent};
pub use past::{Attribute, past};

pub(crate) use client::{answered, call};
pub(crate) use lines::Identified;
pub(crate) use server::Traced;

/// The target of spans that are exported. What they hold leaves the process: names of calls, steps and resources, never secrets or URLs that are signed.
pub const TARGET: &str = "granary_trace";

tokio::task_local! {
    static FOLLOWED: Option<Parent>;
}

/// What follows from the work that is done now: the span that is open, or what was handed to [`following`].
pub fn parent() -> Option<Parent> {
    Parent::current().or_else(|| FOLLOWED.try_with(Clone::clone).ok().flatten())
}

/// Does work that follows from what was done elsewhere, without a span of its own.
pub async fn following<F: Future>(parent: Option<Parent>, work: F) -> F::Output {
    FOLLOWED.scope(parent, work).await
}

/// Does work that follows from what was done elsewhere, in a span of its own.
pub async fn within<F: Future>(span: Span, parent: Option<Parent>, work: F) -> F::Output {
    continues(&span, parent.as_ref());
    following(parent, work.instrument(span)).await
}

/// Has a new span continue what was done elsewhere.
pub fn continues(span: &Span, parent: Option<&Parent>) {
    if let Some(parent) = parent {
        parent.adopt(span);
    }
}

/// Notes in a span how the work in it ended.
pub fn ended<T, E: std::fmt::Display>(span: &Span, result: &Result<T, E>) {
    if result.is_err() {
        // Why is told in the log, which names the trace: messages may hold more than should leave the process.
        span.record("otel.status_code", "ERROR");
    }
}

/// Whether spans are exported by this process.
pub fn is_on() -> bool {
    tracing::span_enabled!(target: TARGET, tracing::Level::INFO)
}
