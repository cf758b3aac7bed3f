//! A receiver of traces, as a collector is: OTLP over gRPC.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use serde_json::{Value as Json, json};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// How long a test waits for spans.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The service that it is of, such as `granary-job`.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `internal`, `server` or `client`.
    pub kind: &'static str,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The same; empty if it is the first of its trace.
    pub parent_id: String,
    /// In nanoseconds since 1970.
    pub begin: u64,
    /// The same.
    pub end: u64,
    /// Whether it failed.
    pub failed: bool,
    /// What is said of it, as text.
    pub attributes: BTreeMap<String, String>,
}

/// What was received until now.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Received>>>,
    changed: watch::Receiver<()>,
}

struct Service {
    spans: Arc<Mutex<Vec<Received>>>,
    changed: watch::Sender<()>,
    /// Where each span is written too.
    file: Option<tokio::sync::Mutex<tokio::fs::File>>,
}

impl Receiver {
    /// Receives in the background, as long as the test runs.
    pub async fn start() -> Self {
        Self::serve("127.0.0.1:0".parse().unwrap(), None).await
    }

    /// Receives at an address in the background, and writes each span to the end of a file, as one JSON object a line.
    pub async fn serve(listen: SocketAddr, file: Option<&Path>) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::<Mutex<Vec<Received>>>::default();
        let (told, changed) = watch::channel(());
        let file = match file {
            None => None,
            Some(path) => {
                let mut options = tokio::fs::File::options();
                let file = options.create(true).append(true).open(path).await;
                Some(tokio::sync::Mutex::new(file.unwrap()))
            }
        };
        let service = Service {
            spans: spans.clone(),
            changed: told,
            file,
        };
        let serving = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(service))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(async move { serving.await.unwrap() });
        Self {
            address,
            spans,
            changed,
        }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was received until now.
    pub fn spans(&self) -> Vec<Received> {
        self.spans.lock().unwrap().clone()
    }

    /// Waits until something can be made of what was received.
    pub async fn until<T>(&self, what: &str, mut find: impl FnMut(&[Received]) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        let found = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = find(&self.spans()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no {what} in {:#?}", self.spans()))
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans: Vec<Received> = read(request.into_inner()).collect();
        if let Some(file) = &self.file {
            let lines: String = spans
                .iter()
                .map(|span| format!("{}\n", span.json()))
                .collect();
            let mut file = file.lock().await;
            file.write_all(lines.as_bytes()).await.unwrap();
            file.flush().await.unwrap();
        } else {
            self.spans.lock().unwrap().extend(spans);
        }
        self.changed.send_replace(());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(request: ExportTraceServiceRequest) -> impl Iterator<Item = Received> {
    request.resource_spans.into_iter().flat_map(|of_resource| {
        let service = service(of_resource.resource);
        let scopes = of_resource.scope_spans.into_iter();
        let spans = scopes.flat_map(|scope| scope.spans);
        spans.map(move |span| Received::of(&service, span))
    })
}

fn service(resource: Option<Resource>) -> String {
    let attributes = texts(resource.unwrap_or_default().attributes);
    attributes.get("service.name").cloned().unwrap_or_default()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let pair = |attribute: KeyValue| (attribute.key, text(attribute.value));
    attributes.into_iter().map(pair).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Received {
    fn of(service: &str, span: Span) -> Self {
        Self {
            service: service.to_owned(),
            kind: match span.kind() {
                SpanKind::Server => "server",
                SpanKind::Client => "client",
                _ => "internal",
            },
            failed: span
                .status
                .as_ref()
                .is_some_and(|s| s.code() == StatusCode::Error),
            name: span.name,
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            begin: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: texts(span.attributes),
        }
    }

    fn json(&self) -> Json {
        json!({
            "service": self.service,
            "name": self.name,
            "kind": self.kind,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
            "begin": self.begin,
            "end": self.end,
            "failed": self.failed,
            "attributes": self.attributes,
        })
    }

    /// An attribute, empty if it has none of that name.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}
