use std::{
    convert::Infallible,
    io::Write,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use tonic::body::Body;
use tower::{Service as _, util::BoxCloneSyncService};
use tracing_subscriber::{fmt, prelude::*};

use super::*;
use crate::{Link, auth::TokenSource, link::Way, spanned::REQUEST_ID};

const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const METHOD: &str = "/granary.metadata.v1.SessionService/GetSession";

/// Where spans and log lines come to in a test.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<Mutex<(Vec<SpanData>, Vec<u8>)>>);

impl SpanExporter for Sink {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().0.extend(batch);
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().1.write(text)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn subscribed(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let lines = fmt::layer()
            .with_writer(move || writer.clone())
            .json()
            .flatten_event(true)
            .map_event_format(Identified)
            .with_filter(tracing_subscriber::EnvFilter::new("warn,granary_trace=off"));
        let registry = tracing_subscriber::registry().with(lines);
        registry
            .with(Traces::to(self.clone()).layer())
            .set_default()
    }

    fn spans(&self) -> Vec<SpanData> {
        self.0.lock().unwrap().0.clone()
    }

    fn span(&self, name: &str, kind: SpanKind) -> SpanData {
        let found = self.spans().into_iter();
        let mut found = found.filter(|span| span.name == name && span.span_kind == kind);
        found.next().unwrap_or_else(|| panic!("no span {name}"))
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A service behind the layer that a server has, which answers with a status in its headers, and what it was sent.
fn service(status: &'static str) -> (Link, Arc<Mutex<Vec<HeaderMap>>>) {
    let sent = Arc::<Mutex<Vec<HeaderMap>>>::default();
    let seen = sent.clone();
    let handler = tower::service_fn(move |request: Request<Body>| {
        seen.lock().unwrap().push(request.headers().clone());
        async move {
            tracing::warn!("the disk is slow");
            let answer = Response::builder().header("grpc-status", status);
            Ok::<_, Infallible>(answer.body(Body::empty()).unwrap())
        }
    });
    let served = tower::ServiceBuilder::new()
        .layer_fn(BoxCloneSyncService::new)
        .map_response(|answer: Response<_>| answer.map(Body::new))
        .layer_fn(Traced)
        .service(handler);
    let token = TokenSource::fixed("t").unwrap();
    (Link::over(Way::Local(served), token), sent)
}

async fn call(link: &Link, path: &str) {
    let mut link = link.clone();
    let request = Request::post(path).header(REQUEST_ID, "abc");
    let answer = link.call(request.body(Body::empty()).unwrap());
    let _ = answer.await.unwrap().into_body().collect().await;
}

fn attribute(span: &SpanData, key: &str) -> String {
    let found = span
        .attributes
        .iter()
        .find(|found| found.key.as_str() == key);
    found.map_or_else(String::new, |found| found.value.to_string())
}

#[tokio::test]
async fn a_call_is_a_span_of_the_caller_and_one_of_the_server_in_one_trace() {
    let sink = Sink::default();
    let _subscribed = sink.subscribed();
    let (link, _) = service("5");
    let root = tracing::info_span!(target: TARGET, "root");
    within(root, Parent::parse(TEXT), call(&link, METHOD)).await;
    let name = "granary.metadata.v1.SessionService/GetSession";
    let (client, server) = (
        sink.span(name, SpanKind::Client),
        sink.span(name, SpanKind::Server),
    );
    let root = sink.span("root", SpanKind::Internal);
    assert_eq!(server.parent_span_id, client.span_context.span_id());
    assert_eq!(client.parent_span_id, root.span_context.span_id());
    assert_eq!(
        root.parent_span_id,
        SpanId::from_hex("b7ad6b7169203331").unwrap()
    );
    for span in [&client, &server, &root] {
        let trace = span.span_context.trace_id().to_string();
        assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
    }
    let said = [
        "rpc.system",
        "rpc.service",
        "rpc.method",
        "rpc.grpc.status_code",
    ];
    let expected = [
        "grpc",
        "granary.metadata.v1.SessionService",
        "GetSession",
        "5",
    ];
    for span in [&client, &server] {
        assert_eq!(said.map(|key| attribute(span, key)), expected);
    }
    assert_eq!(attribute(&server, "granary.request_id"), "abc");
    // That something is not there is no fault of the server.
    assert_eq!(server.status, Status::Unset);
    assert_ne!(client.status, Status::Unset);
    let line = &sink.lines()[0];
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(line["span_id"], server.span_context.span_id().to_string());
    assert_eq!(line["message"], "the disk is slow");
}

#[tokio::test]
async fn names_that_callers_make_up_are_not_exported_nor_what_is_asked_all_the_time() {
    let sink = Sink::default();
    let _subscribed = sink.subscribed();
    let (link, _) = service("13");
    let root = tracing::info_span!(target: TARGET, "root");
    let calls = async {
        call(&link, "/secret/Signature?X-Amz-Signature=123").await;
        call(&link, "/grpc.health.v1.Health/Check").await;
    };
    within(root, None, calls).await;
    let server = sink.span("unknown", SpanKind::Server);
    assert_ne!(server.status, Status::Unset);
    let all = format!("{:?}", sink.spans());
    assert!(
        !all.contains("Signature") && !all.contains("ecret"),
        "{all}"
    );
    let served = sink.spans();
    let served = served
        .iter()
        .filter(|span| span.span_kind == SpanKind::Server);
    assert_eq!(served.count(), 1);
}

#[tokio::test]
async fn what_a_process_does_for_itself_starts_no_trace_and_its_log_lines_name_none() {
    let sink = Sink::default();
    let _subscribed = sink.subscribed();
    let (link, sent) = service("0");
    call(&link, METHOD).await;
    assert!(sink.spans().is_empty(), "{:?}", sink.spans());
    let sent = Parent::from_headers(&sent.lock().unwrap()[0]).unwrap();
    assert!(sent.to_string().ends_with("-00"));
    assert!(sink.lines()[0].get("trace_id").is_none());
}

#[tokio::test]
async fn a_trace_goes_through_a_process_that_exports_nothing() {
    let (behind, sent) = service("0");
    let front = tower::service_fn(move |_: Request<Body>| {
        let behind = behind.clone();
        async move {
            call(&behind, METHOD).await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let mut front = Traced(front);
    for given in [Some(TEXT), Some("nonsense"), None] {
        let mut request = Request::post(METHOD);
        if let Some(given) = given {
            request = request.header("traceparent", given);
        }
        let answer = front.call(request.body(Body::empty()).unwrap()).await;
        assert!(answer.is_ok());
    }
    let sent = sent.lock().unwrap();
    let handed_on: Vec<_> = sent.iter().map(Parent::from_headers).collect();
    assert_eq!(handed_on, [Parent::parse(TEXT), None, None]);
}

#[tokio::test]
async fn what_is_done_later_follows_from_what_it_was_handed() {
    let given = Parent::parse(TEXT);
    assert_eq!(parent(), None);
    assert_eq!(following(given.clone(), async { parent() }).await, given);
    let sink = Sink::default();
    let _subscribed = sink.subscribed();
    let span = tracing::info_span!(target: TARGET, "later");
    let seen = within(span, given.clone(), async { parent() })
        .await
        .unwrap();
    assert_eq!(seen.trace_id(), given.unwrap().trace_id());
    let later = sink.span("later", SpanKind::Internal);
    assert_eq!(seen.ids().2, later.span_context.span_id());
}
