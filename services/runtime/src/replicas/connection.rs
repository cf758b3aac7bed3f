//! A connection to one replica: how it is made, whether it answers, and calls on it, which are sent in time or not at all.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tonic::{
    Status,
    body::Body,
    transport::{self, Channel, Endpoint},
};
use tower::{Service as _, ServiceExt as _};

use super::repeat;

/// How long connecting may take, and the first answer after it: replicas are near, in the same cluster.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a call may wait until it is sent: longer than connecting, so that whoever waits in vain learns why.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than any call may take at the server, which ends them after 120 seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(130);
/// A connection whose other end is gone without a word is given up after both together: well within the lease of a job.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// As the server's windows: what 10 Gbit/s carry in a round trip of a millisecond. Whoever reads one answer slowly holds up no other.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// A channel that connects at its first call.
pub(super) fn connect(address: SocketAddr) -> Option<Channel> {
    let endpoint = endpoint(address)?.connect_timeout(CONNECT_TIMEOUT);
    Some(endpoint.connect_lazy())
}

pub(super) fn endpoint(address: SocketAddr) -> Option<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    let endpoint = endpoint
        .timeout(CALL_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    Some(endpoint)
}

/// Whether somebody answers, whatever it is. A process that hangs does not, though the kernel takes connections for it.
pub(super) async fn answers(channel: &Channel) -> bool {
    let mut channel = channel.clone();
    // An empty message: the health of all services.
    let mut request = Request::new(Body::new(Full::new(Bytes::from_static(&[0; 5]))));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = http::Uri::from_static("/grpc.health.v1.Health/Check");
    let headers = request.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let grpc = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, grpc);
    let answer = async { channel.ready().await?.call(request).await };
    let answer = tokio::time::timeout(CONNECT_TIMEOUT, answer).await;
    matches!(answer, Ok(Ok(_)))
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection could be had in time.
    NotSent,
    /// The connection broke, or could not be made.
    Broken(transport::Error),
}

impl Failure {
    /// Whether the call may have been handled all the same.
    pub(super) fn may_have_been_handled(&self) -> bool {
        match self {
            Self::NotSent => false,
            Self::Broken(error) => repeat::may_have_been_handled(error),
        }
    }

    /// Whether the next call would fail too: not if it was just this one.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::NotSent => true,
            Self::Broken(error) => !repeat::is_of_one_call(error),
        }
    }
}

/// Makes a call. While the channel connects, calls wait in it for their turn, without limit and after their replica is gone: those that were not
/// sent in time are taken back.
pub(super) async fn call(
    mut channel: Channel,
    request: Request<Bytes>,
) -> Result<Response<Body>, Failure> {
    let fate = Arc::new(OnceLock::new());
    let request = request.map(|bytes| {
        // Nobody asks for a message that is empty.
        if bytes.is_empty() {
            let _ = fate.set(Fate::Sent);
        }
        let (body, fate) = (Full::new(bytes), fate.clone());
        Body::new(Message { body, fate })
    });
    let mut answer = pin!(async { channel.ready().await?.call(request).await });
    let answer = match tokio::time::timeout(SEND_TIMEOUT, &mut answer).await {
        Ok(answer) => answer,
        Err(_) if *fate.get_or_init(|| Fate::TakenBack) == Fate::TakenBack => {
            return Err(Failure::NotSent);
        }
        Err(_) => answer.await,
    };
    answer.map_err(Failure::Broken)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    TakenBack,
}

/// A message that is either sent or taken back, whatever comes first. One that was taken back is never handled: its call has no end.
struct Message {
    body: Full<Bytes>,
    fate: Arc<OnceLock<Fate>>,
}

impl http_body::Body for Message {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.fate.get_or_init(|| Fate::Sent) {
            Fate::Sent => Pin::new(&mut self.body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Fate::TakenBack => Poll::Ready(Some(Err(Status::cancelled("taken back")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
