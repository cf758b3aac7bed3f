//! The end of a call: its status stands in the headers of an answer without a body, and after the body of any other.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::trace::SpanKind;
use tracing::Span;

/// Codes of calls for which the server is to blame: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, as the semantic
/// conventions of OpenTelemetry have it.
const OF_SERVERS: [i64; 6] = [2, 4, 12, 13, 14, 15];
/// The code of calls whose connection broke.
pub(super) const UNAVAILABLE: i64 = 14;

/// A body whose end is the end of a span.
#[derive(Debug)]
pub(crate) struct Watched<B> {
    body: B,
    /// None once the end is known.
    span: Span,
    kind: SpanKind,
}

impl<B> Watched<B> {
    /// A body that is of no span.
    pub(super) fn plain(body: B) -> Self {
        Self {
            body,
            span: Span::none(),
            kind: SpanKind::Internal,
        }
    }

    /// An answer whose end is the end of the span.
    pub(super) fn answer(answer: Response<B>, span: Span, kind: SpanKind) -> Response<Self> {
        note(&span, &kind, answer.headers());
        answer.map(|body| Self { body, span, kind })
    }
}

fn note(span: &Span, kind: &SpanKind, headers: &HeaderMap) {
    let status = headers.get("grpc-status");
    let code = status.and_then(|code| code.to_str().ok()?.parse::<i64>().ok());
    if let Some(code) = code {
        note_code(span, kind, code);
    }
}

/// Notes with which code a call ended.
pub(super) fn note_code(span: &Span, kind: &SpanKind, code: i64) {
    span.record("rpc.grpc.status_code", code);
    if code != 0 && (*kind != SpanKind::Server || OF_SERVERS.contains(&code)) {
        span.record("otel.status_code", "ERROR");
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let polled = this
            .span
            .in_scope(|| Pin::new(&mut this.body).poll_frame(cx));
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    note(&this.span, &this.kind, trailers);
                    this.span = Span::none();
                }
            }
            Poll::Ready(Some(Err(_)) | None) => this.span = Span::none(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
