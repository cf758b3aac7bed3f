//! Calls, those that are answered and those that are made: how many, how they end, how long they take.
//!
//! The names are those that gRPC's middleware for Go has, which dashboards know. A call has the labels of its method in the descriptors; whatever else
//! a caller asks for is `unknown`.

use std::{
    any::Any,
    collections::HashMap,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use ::metrics::{Counter, Histogram, Label, counter, histogram};
use futures::future::{BoxFuture, Either, FutureExt as _, MapOk, TryFutureExt as _};
use granary_proto::prost_reflect::{DescriptorPool, MethodDescriptor};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};
use tower::Service;

use super::names::{
    CLIENT_HANDLED, CLIENT_SECONDS, SERVER_HANDLED, SERVER_SECONDS, SERVER_STARTED,
};

const UNKNOWN: &str = "unknown";
/// What callers that say nothing have; the server ends their calls after this time.
const DEADLINE: Duration = Duration::from_secs(120);
/// Services give each other up after a minute without saying so in the call.
const PATIENCE: Duration = Duration::from_secs(59);

/// On which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

/// The methods that there are.
#[derive(Debug)]
pub(super) struct Table {
    methods: HashMap<Box<str>, Arc<Method>>,
    unknown: Arc<Method>,
}

/// What is counted of one method. The handles are made when it is called first: most methods of most processes never are.
#[derive(Debug)]
struct Method {
    side: Side,
    labels: [Label; 3],
    used: OnceLock<Handles>,
}

#[derive(Debug)]
struct Handles {
    started: Counter,
    seconds: Histogram,
    /// By code.
    handled: [OnceLock<Counter>; 17],
}

impl Table {
    pub(super) fn new(side: Side) -> Self {
        let described = [
            granary_proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut methods = HashMap::new();
        for bytes in described {
            let pool = DescriptorPool::decode(bytes).unwrap_or_default();
            for method in pool
                .services()
                .flat_map(|s| s.methods().collect::<Vec<_>>())
            {
                let service = method.parent_service().full_name().to_owned();
                let path = format!("/{service}/{}", method.name()).into();
                let counted = Method::new(side, service, method.name().to_owned(), kind(&method));
                methods.insert(path, Arc::new(counted));
            }
        }
        let unknown = Method::new(side, UNKNOWN.into(), UNKNOWN.into(), UNKNOWN);
        Self {
            methods,
            unknown: Arc::new(unknown),
        }
    }

    /// Notes that a call begins.
    pub(super) fn begin(&self, path: &str, deadline: Duration) -> Call {
        let method = self.methods.get(path).unwrap_or(&self.unknown);
        method.handles().started.increment(1);
        Call(Some(Begun {
            method: method.clone(),
            began: Instant::now(),
            deadline,
        }))
    }
}

fn kind(method: &MethodDescriptor) -> &'static str {
    match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    }
}

impl Method {
    fn new(side: Side, service: String, method: String, kind: &'static str) -> Self {
        Self {
            side,
            labels: [
                Label::new("grpc_service", service),
                Label::new("grpc_method", method),
                Label::from_static_parts("grpc_type", kind),
            ],
            used: OnceLock::new(),
        }
    }

    fn handles(&self) -> &Handles {
        self.used.get_or_init(|| {
            let labels = self.labels.iter();
            let (started, seconds) = match self.side {
                Side::Server => (counter!(SERVER_STARTED, labels.clone()), SERVER_SECONDS),
                Side::Client => (Counter::noop(), CLIENT_SECONDS),
            };
            Handles {
                started,
                seconds: histogram!(seconds, labels),
                handled: Default::default(),
            }
        })
    }

    fn ended(&self, code: Code, took: Duration) {
        let handles = self.handles();
        handles.seconds.record(took);
        let Some(handled) = handles.handled.get(code as usize) else {
            return;
        };
        let handled = handled.get_or_init(|| {
            let code = Label::from_static_parts("grpc_code", name(code));
            let labels: Vec<Label> = self.labels.iter().cloned().chain([code]).collect();
            match self.side {
                Side::Server => counter!(SERVER_HANDLED, labels),
                Side::Client => counter!(CLIENT_HANDLED, labels),
            }
        });
        handled.increment(1);
    }
}

/// Codes as gRPC for Go has them.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// A call in progress, or nothing. Dropped before its end is known, it was given up: its time was over, or its caller went away.
#[derive(Debug)]
pub(crate) struct Call(Option<Begun>);

#[derive(Debug)]
struct Begun {
    method: Arc<Method>,
    began: Instant,
    deadline: Duration,
}

impl Call {
    fn end(&mut self, code: Code) {
        if let Some(begun) = self.0.take() {
            begun.method.ended(code, begun.began.elapsed());
        }
    }

    /// Looks at the headers of the answer: what has no message ends with them.
    pub(super) fn answered<B: Body>(mut self, answer: Response<B>) -> Response<Counting<B>> {
        let at_end = || {
            answer
                .body()
                .is_end_stream()
                .then(|| plain(answer.status()))
        };
        if let Some(code) = code(answer.headers()).or_else(at_end) {
            self.end(code);
        } else if let Some(begun) = &mut self.0 {
            // How long the rest takes is for its reader to say, who may end it at any time.
            begun.deadline = Duration::MAX;
        }
        answer.map(|body| Counting { body, call: self })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(begun) = &self.0 {
            let late = begun.began.elapsed() >= begun.deadline;
            self.end(match late {
                true => Code::DeadlineExceeded,
                false => Code::Cancelled,
            });
        }
    }
}

/// What an answer without a gRPC status and without a message comes to.
fn plain(status: StatusCode) -> Code {
    match status {
        StatusCode::OK => Code::Ok,
        _ => Code::Unknown,
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    let status = headers.get("grpc-status");
    status.map(|code| Code::from_bytes(code.as_bytes()))
}

/// How long the caller waits at most (`grpc-timeout`: up to eight digits and a unit).
fn deadline(headers: &HeaderMap) -> Duration {
    let said = headers.get("grpc-timeout").and_then(|said| {
        let (unit, digits) = said.as_bytes().split_last()?;
        let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        match unit {
            b'H' => Some(Duration::from_secs(count.saturating_mul(3600))),
            b'M' => Some(Duration::from_secs(count.saturating_mul(60))),
            b'S' => Some(Duration::from_secs(count)),
            b'm' => Some(Duration::from_millis(count)),
            b'u' => Some(Duration::from_micros(count)),
            b'n' => Some(Duration::from_nanos(count)),
            _ => None,
        }
    });
    said.map_or(DEADLINE, |said| said.min(DEADLINE))
}

/// An answer whose end is counted.
#[derive(Debug)]
pub(crate) struct Counting<B> {
    body: B,
    call: Call,
}

impl<B> Counting<B> {
    fn plain(answer: Response<B>) -> Response<Self> {
        answer.map(|body| Self {
            body,
            call: Call(None),
        })
    }
}

impl<B: Body<Error: 'static> + Unpin> Body for Counting<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.end(code(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(error)) => self.call.end(code_of(error)),
            None => self.call.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What breaks off an answer says why on the side of the caller.
fn code_of(error: &dyn Any) -> Code {
    error.downcast_ref().map_or(Code::Unknown, Status::code)
}

/// Counts the calls that a server answers, if metrics are on.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S>(pub(crate) S);

type Plain<F, R> = MapOk<F, fn(Response<R>) -> Response<Counting<R>>>;

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body + Send + 'static,
{
    type Response = Response<Counting<R>>;
    type Error = S::Error;
    type Future =
        Either<Plain<S::Future, R>, BoxFuture<'static, Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(recording) = super::process() else {
            let plain: fn(Response<R>) -> Response<Counting<R>> = Counting::plain;
            return Either::Left(self.0.call(request).map_ok(plain));
        };
        let (path, deadline) = (request.uri().path(), deadline(request.headers()));
        let call = recording.served.begin(path, deadline);
        let answer = self.0.call(request);
        Either::Right(async move { Ok(call.answered(answer.await?)) }.boxed())
    }
}

/// A call that this process makes, or nothing if metrics are off.
pub(crate) fn call<B>(request: &Request<B>) -> Option<Call> {
    let recording = super::process()?;
    let deadline = deadline(request.headers()).min(PATIENCE);
    Some(recording.called.begin(request.uri().path(), deadline))
}

/// The answer to such a call, and how it ends.
pub(crate) async fn answered<E>(
    call: Option<Call>,
    answer: impl Future<Output = Result<Response<tonic::body::Body>, E>>,
) -> Result<Response<tonic::body::Body>, E> {
    let Some(mut call) = call else {
        return answer.await;
    };
    match answer.await {
        Ok(answer) => Ok(call.answered(answer).map(tonic::body::Body::new)),
        Err(error) => {
            call.end(Code::Unavailable);
            Err(error)
        }
    }
}
