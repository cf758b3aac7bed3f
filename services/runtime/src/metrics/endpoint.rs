//! Where metrics are asked for: `GET /metrics`, and nothing else.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::Recording;
use crate::task::Tasks;

/// How many connections are served at a time; others wait.
const MAX_CONNECTIONS: usize = 256;
/// How long a request may take to come, and how long a connection lasts in all: each is for one answer.
const HEADERS: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(15);
/// What is kept of a request at most, in bytes.
const MAX_REQUEST: usize = 16 * 1024;
/// How long nothing is accepted after that failed, such as for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// The version of the text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers until `stop`.
pub(super) async fn run(
    listener: TcpListener,
    recording: &'static Recording,
    tasks: &Tasks,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((connection, room)) => {
                let served = serve(connection, recording, stop.clone());
                tasks.spawn("metrics connection", async move {
                    served.await;
                    drop(room);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    let permit = room.clone().acquire_owned().await.ok();
    let (connection, _) = listener.accept().await?;
    Ok((connection, permit))
}

/// One connection. It has little to lose: whoever asked asks again soon.
async fn serve(connection: TcpStream, recording: &'static Recording, stop: CancellationToken) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(MAX_REQUEST)
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(connection),
            service_fn(move |request| answer(request, recording)),
        );
    let ended = tokio::select! {
        () = stop.cancelled() => return,
        ended = timeout(CONNECTION, served) => ended,
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics broke off"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}

async fn answer(
    request: Request<Incoming>,
    recording: &Recording,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut answer = Response::new(Full::default());
    if request.method() == Method::GET && request.uri().path() == "/metrics" {
        let text = http::HeaderValue::from_static(TEXT);
        answer.headers_mut().insert(CONTENT_TYPE, text);
        *answer.body_mut() = recording.tell().await.into();
    } else {
        *answer.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(answer)
}
