//! What is logged during a call says which call.

use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Request};
use tower::Service;
use tower_http::request_id::{MakeRequestId, RequestId};
use tracing::{Instrument as _, Span, instrument::Instrumented};

/// The header that tells calls apart.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives a call an id of its own, unless it came with one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewId;

impl MakeRequestId for NewId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let mut id = HeaderValue::try_from(granary_core::id::new("")).ok()?;
        // It never comes again: not worth a place in the connection's table of headers, which others would lose.
        id.set_sensitive(true);
        Some(RequestId::new(id))
    }
}

/// Has each call in a span with its path and its request id. Nothing is made of them unless debug output is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<S>(pub(crate) S);

impl<S: Service<Request<B>>, B> Service<Request<B>> for Spanned<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = span_of(&request);
        let calling = span.in_scope(|| {
            tracing::debug!("called");
            self.0.call(request)
        });
        calling.instrument(span)
    }
}

fn span_of<B>(request: &Request<B>) -> Span {
    let id = request.headers().get(&REQUEST_ID);
    tracing::debug_span!(
        "call",
        path = request.uri().path(),
        request_id = id.and_then(|id| id.to_str().ok()),
    )
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        io::Write,
        sync::{Arc, Mutex},
    };

    use futures::FutureExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_logged_during_a_call_names_its_request() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut service = Spanned(tower::service_fn(|_: Request<()>| async {
                tracing::warn!("the disk is slow");
                Ok::<_, Infallible>(())
            }));
            let request = Request::get("/package.Service/Method").header(REQUEST_ID, "abc");
            let answer = service.call(request.body(()).unwrap());
            answer.now_or_never().unwrap().unwrap();
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let line = text.lines().find(|line| line.contains("the disk is slow"));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        assert!(
            line.contains("/package.Service/Method") && line.contains("abc"),
            "{line}"
        );
    }
}
