//! Spans of the calls that are made.

use std::sync::LazyLock;

use http::{Request, Response};
use opentelemetry::trace::SpanKind;
use tonic::body::Body;
use tracing::{Instrument as _, Span};

use super::{
    Parent,
    body::{UNAVAILABLE, Watched, note_code},
    is_on, parent,
    server::name,
};

/// A trace that nobody exports: what this process does for itself starts none where it calls.
static UNTRACED: LazyLock<Option<Parent>> = LazyLock::new(|| {
    let (trace, span) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4().as_u64_pair().1);
    Parent::parse(&format!("00-{:032x}-{span:016x}-00", trace.as_u128()))
});

/// Says in a request what it follows from; the span of the call, if spans are exported.
pub(crate) fn call(request: &mut Request<Body>) -> Span {
    let Some(parent) = parent() else {
        if is_on()
            && let Some(untraced) = &*UNTRACED
        {
            untraced.to_headers(request.headers_mut());
        }
        return Span::none();
    };
    let span = rpc_span!("call", "client");
    if span.is_disabled() {
        parent.to_headers(request.headers_mut());
        return span;
    }
    if Parent::current().is_none() {
        parent.adopt(&span);
    }
    name(&span, request.uri().path());
    let itself = Parent::of(&span).unwrap_or(parent);
    itself.to_headers(request.headers_mut());
    span
}

/// Makes a call in its span, which ends with the answer's end.
pub(crate) async fn answered<E>(
    span: Span,
    call: impl Future<Output = Result<Response<Body>, E>>,
) -> Result<Response<Body>, E> {
    if span.is_disabled() {
        return call.await;
    }
    match call.instrument(span.clone()).await {
        Ok(answer) => {
            let answer = Watched::answer(answer, span, SpanKind::Client);
            Ok(answer.map(Body::new))
        }
        Err(error) => {
            note_code(&span, &SpanKind::Client, UNAVAILABLE);
            Err(error)
        }
    }
}
