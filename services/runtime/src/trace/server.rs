//! Spans of the calls that are answered.

use std::task::{Context, Poll};

use futures::{
    FutureExt as _, TryFutureExt as _,
    future::{BoxFuture, Either, MapOk},
};
use http::{Request, Response};
use opentelemetry::trace::SpanKind;
use tower::Service;
use tracing::{Instrument as _, Span};

use super::{Parent, body::Watched, continues, following};
use crate::{auth::rule, spanned::REQUEST_ID};

/// Has each call in a span that continues the caller's, or hands on where the caller's trace stands if no spans are exported.
#[derive(Clone, Debug)]
pub(crate) struct Traced<S>(pub(crate) S);

type Plain<F, R> = MapOk<F, fn(Response<R>) -> Response<Watched<R>>>;

impl<S, B, R> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Watched<R>>;
    type Error = S::Error;
    type Future =
        Either<Plain<S::Future, R>, BoxFuture<'static, Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let parent = Parent::from_headers(request.headers());
        let span = span_of(&request);
        if !span.is_disabled() {
            continues(&span, parent.as_ref());
            let call = span.in_scope(|| self.0.call(request));
            let kept = span.clone();
            let answered = call.map_ok(|answer| Watched::answer(answer, kept, SpanKind::Server));
            return Either::Right(answered.instrument(span).boxed());
        }
        let plain: fn(Response<R>) -> Response<Watched<R>> = |answer| answer.map(Watched::plain);
        let answered = self.0.call(request).map_ok(plain);
        match parent {
            None => Either::Left(answered),
            Some(_) => Either::Right(following(parent, answered).boxed()),
        }
    }
}

/// Whoever calls may say any.
const MAX_REQUEST_ID: usize = 128;

/// What is asked for all the time, whether the process is well, is part of no trace.
fn span_of<B>(request: &Request<B>) -> Span {
    let path = request.uri().path();
    if path.starts_with("/grpc.") {
        return Span::none();
    }
    let id = request.headers().get(&REQUEST_ID);
    let id = id.filter(|id| id.len() <= MAX_REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok());
    let span = rpc_span!("rpc", "server", granary.request_id = id);
    if !span.is_disabled() {
        name(&span, path);
    }
    span
}

/// Names a span after a call that there is: what else callers may write there is theirs.
pub(super) fn name(span: &Span, path: &str) {
    let known = rule(path).and_then(|_| path.strip_prefix('/')?.split_once('/'));
    let Some((service, method)) = known else {
        span.record("otel.name", "unknown");
        return;
    };
    span.record("otel.name", format!("{service}/{method}"));
    span.record("rpc.service", service);
    span.record("rpc.method", method);
}
