//! The spans of an attempt: it continues the trace of the call that submitted its job, and its phases are parts of it.

use granary_proto::job::v1::{FailureClass, Lease};
use granary_runtime::trace::{Parent, TARGET};
use tracing::{Instrument as _, Span, field::Empty};

use crate::attempt::Outcome;

/// The span of an attempt, and what it follows from.
pub(crate) fn attempt(lease: &Lease) -> (Span, Option<Parent>) {
    let job = lease.job.as_ref();
    let span = tracing::info_span!(
        target: TARGET,
        "attempt",
        otel.status_code = Empty,
        granary.job = job.map(|job| job.name.as_str()),
        granary.attempt = lease.attempt,
        granary.outcome = Empty,
    );
    let parent = job.and_then(|job| Parent::parse(&job.trace_parent));
    (span, parent)
}

/// Notes how an attempt ended in the span that is open.
pub(crate) fn ended(outcome: &Outcome) {
    let span = Span::current();
    span.record("granary.outcome", outcome.failure.as_str_name());
    if outcome.failure != FailureClass::Unspecified {
        span.record("otel.status_code", "ERROR");
    }
}

/// Does one phase of an attempt, as a part of it.
pub(crate) async fn phase<F: Future>(name: &'static str, work: F) -> F::Output {
    let span = tracing::info_span!(target: TARGET, "phase", otel.name = name);
    work.instrument(span).await
}
