#![allow(clippy::panic, reason = "a test: what is not there is the end of it")]

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use metrics_exporter_prometheus::PrometheusRecorder;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::{Recording, endpoint, gauge, names, recorder};
use crate::task::Tasks;

const GET_SESSION: &str = "/granary.metadata.v1.SessionService/GetSession";
const WATCH_EVENTS: &str = "/granary.metadata.v1.EventService/WatchEvents";
const LONG: Duration = Duration::from_secs(120);

/// A recorder of this thread, and what it recorded.
fn world() -> (&'static PrometheusRecorder, &'static Recording) {
    let recorder = recorder::build("test").unwrap();
    let recording = Recording::new(recorder.handle());
    (
        Box::leak(Box::new(recorder)),
        Box::leak(Box::new(recording)),
    )
}

/// The value of the one line that begins so and has these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let has = |line: &&str| {
        let named = line
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('{'));
        named && labels.iter().all(|label| line.contains(label))
    };
    let mut found = text.lines().filter(has);
    let (Some(line), None) = (found.next(), found.next()) else {
        panic!("not one {name} with {labels:?} in\n{text}");
    };
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn status(code: &str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        code.parse().unwrap(),
    )])
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code_once_they_have_ended() {
    let (recorder, recording) = world();
    let _here = ::metrics::set_default_local_recorder(recorder);
    // Refused: the status stands in the headers.
    let mut refused = Response::new(Empty::<Bytes>::new());
    *refused.headers_mut() = status("5");
    drop(recording.served.begin(GET_SESSION, LONG).answered(refused));
    let text = recording.tell().await;
    let of = [
        "component=\"test\"",
        "SessionService\"",
        "\"GetSession\"",
        "\"unary\"",
    ];
    assert_eq!(value(&text, "grpc_server_started_total", &of), 1.0);
    let not_found = [&of[..], &["grpc_code=\"NotFound\""]].concat();
    assert_eq!(value(&text, "grpc_server_handled_total", &not_found), 1.0);
    assert_eq!(value(&text, "grpc_server_handling_seconds_count", &of), 1.0);

    // A stream ends with its trailers.
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"message"))),
        Ok(Frame::trailers(status("0"))),
    ];
    let body = StreamBody::new(stream::iter(frames));
    let call = recording.served.begin(WATCH_EVENTS, LONG);
    let answer = call.answered(Response::new(body));
    let text = recording.tell().await;
    let of = ["\"WatchEvents\"", "\"server_stream\""];
    assert_eq!(value(&text, "grpc_server_started_total", &of), 1.0);
    assert!(!text.contains(
        "handled_total{component=\"test\",grpc_service=\"granary.metadata.v1.EventService\""
    ));
    answer.into_body().collect().await.unwrap();
    let text = recording.tell().await;
    let ok = ["\"WatchEvents\"", "grpc_code=\"OK\""];
    assert_eq!(value(&text, "grpc_server_handled_total", &ok), 1.0);
}

#[tokio::test]
async fn what_is_given_up_was_late_or_its_caller_went_away() {
    let (recorder, recording) = world();
    let _here = ::metrics::set_default_local_recorder(recorder);
    drop(recording.called.begin(GET_SESSION, LONG));
    drop(recording.called.begin(GET_SESSION, Duration::ZERO));
    let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let call = recording.called.begin(WATCH_EVENTS, Duration::ZERO);
    drop(call.answered(Response::new(endless)));
    let text = recording.tell().await;
    for (method, code) in [
        ("GetSession", "Canceled"),
        ("GetSession", "DeadlineExceeded"),
        ("WatchEvents", "Canceled"),
    ] {
        let of = [&*format!("\"{method}\""), &*format!("\"{code}\"")];
        assert_eq!(value(&text, "grpc_client_handled_total", &of), 1.0);
    }
    assert!(!text.contains("grpc_client_started_total"));
}

#[tokio::test]
async fn what_callers_make_up_is_one_method() {
    let (recorder, recording) = world();
    let _here = ::metrics::set_default_local_recorder(recorder);
    for i in 0..100 {
        let path = format!("/granary.metadata.v1.SessionService/Made{i}");
        let answer = Response::new(Full::new(Bytes::new()));
        drop(recording.served.begin(&path, LONG).answered(answer));
    }
    let text = recording.tell().await;
    let of = [
        "grpc_service=\"unknown\"",
        "grpc_method=\"unknown\"",
        "grpc_type=\"unknown\"",
    ];
    assert_eq!(value(&text, "grpc_server_started_total", &of), 100.0);
    assert!(!text.contains("Made"), "{text}");
}

async fn ask(listener: &std::net::SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(listener).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn metrics_are_told_and_nothing_else_until_the_end() {
    let (recorder, recording) = world();
    let here = ::metrics::set_default_local_recorder(recorder);
    gauge!(names::READY).set(1.0);
    drop(here);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = (listener.local_addr().unwrap(), Tasks::new());
    let (inner, stop) = (tasks.clone(), tasks.stopping());
    tasks.spawn("metrics", async move {
        endpoint::run(listener, recording, &inner, stop).await;
    });
    let answer = ask(&address, "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    assert!(
        answer.contains("granary_ready{component=\"test\"} 1"),
        "{answer}"
    );
    for other in [
        "GET /",
        "GET /metrics/x",
        "POST /metrics",
        "DELETE /metrics",
    ] {
        let answer = ask(&address, &format!("{other} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{other}: {answer}");
    }
    // Whoever says nothing does not hold up the end.
    let _silent = TcpStream::connect(address).await.unwrap();
    assert!(tasks.drain(Duration::from_secs(60)).await);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn those_who_say_nothing_keep_nobody_out_for_long() {
    let (_, recording) = world();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = (listener.local_addr().unwrap(), Tasks::new());
    let (inner, stop) = (tasks.clone(), tasks.stopping());
    tasks.spawn("metrics", async move {
        endpoint::run(listener, recording, &inner, stop).await;
    });
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let begun = Instant::now();
    for mut connection in silent {
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer).await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_in_time_holds_up_nothing_else() {
    let (recorder, recording) = world();
    let _here = ::metrics::set_default_local_recorder(recorder);
    recording.samples.add(std::future::pending::<()>);
    let id = recording
        .samples
        .add(|| async { gauge!(names::WORKERS).set(3.0) });
    let text = recording.tell().await;
    assert_eq!(value(&text, "granary_workers", &[]), 3.0);
    recording.samples.remove(id);
    gauge!(names::WORKERS).set(4.0);
    assert_eq!(value(&recording.tell().await, "granary_workers", &[]), 4.0);
}
