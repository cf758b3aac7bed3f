//! Spans of what is over: work that was done piece by piece, among other work, or that somebody else waited for.

use std::time::SystemTime;

use opentelemetry::{
    Context, KeyValue, global,
    trace::{Span as _, TraceContextExt as _, Tracer as _},
};

use super::{Parent, parent};

/// What is said of it.
pub type Attribute = (&'static str, String);

/// Exports a span that follows from `of`, or from what is done now; nothing if neither is part of a trace.
pub fn past(
    of: Option<&Parent>,
    name: String,
    (begun, ended): (SystemTime, SystemTime),
    attributes: impl IntoIterator<Item = Attribute>,
) {
    let Some(parent) = of.cloned().or_else(parent) else {
        return;
    };
    let tracer = global::tracer("granary");
    let attributes = attributes.into_iter();
    let span = tracer
        .span_builder(name)
        .with_start_time(begun)
        .with_attributes(attributes.map(|(key, value)| KeyValue::new(key, value)));
    let within = Context::new().with_remote_span_context(parent.context());
    span.start_with_context(&tracer, &within)
        .end_with_timestamp(ended.max(begun));
}
