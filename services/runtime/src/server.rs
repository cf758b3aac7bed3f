//! The gRPC server: every service, health and reflection, behind the same layers.

use std::{net::SocketAddr, time::Duration};

use futures::StreamExt as _;
use granary_core::{Error, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower::{Layer as _, ServiceBuilder, util::BoxCloneSyncService};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
};

use crate::{
    auth::AuthLayer,
    link::Served,
    preface::Greeted,
    spanned::{NewId, REQUEST_ID, Spanned},
    trace::Traced,
};

/// Puts the token check in front of services, so that they can be called in this process.
pub fn protect(routes: Routes, auth: &AuthLayer) -> Served {
    BoxCloneSyncService::new(auth.layer(routes))
}

/// The most that a request for health or reflection has, in bytes.
const SMALL: usize = 16 * 1024;

/// Health and reflection.
pub fn common(
    routes: &mut tonic::service::RoutesBuilder,
) -> Result<tonic_health::server::HealthReporter> {
    let (health, service) = tonic_health::server::health_reporter();
    // They are read before anything is known of the caller.
    routes.add_service(service.max_decoding_message_size(SMALL));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(granary_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |error| Error::internal("building the reflection service", error);
    let v1 = reflection().build_v1().map_err(failed)?;
    routes.add_service(v1.max_decoding_message_size(SMALL));
    let v1alpha = reflection().build_v1alpha().map_err(failed)?;
    routes.add_service(v1alpha.max_decoding_message_size(SMALL));
    Ok(health)
}

/// Binds an address; the error says what to do when it is taken.
pub async fn bind(address: SocketAddr, what: &str, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Error::precondition(
            address,
            format!("another program listens there: stop it, or give the {what} another address with {flag}"),
        ),
        _ => Error::precondition(address, format!("cannot listen there ({error}): give the {what} another address with {flag}")),
    })
}

/// How old a connection gets, so that those who came when there were fewer replicas come to the newer ones too; and how long after it calls on the
/// connection may last. Streams that last longer begin anew elsewhere.
const OLD: Duration = Duration::from_secs(30 * 60);
const OLDEST: Duration = Duration::from_secs(10 * 60);

/// Serves until `stop` is cancelled, then lets calls in progress end.
pub async fn run(
    listener: TcpListener,
    routes: Routes,
    auth: AuthLayer,
    stop: CancellationToken,
) -> Result<()> {
    let layers = ServiceBuilder::new()
        .layer_fn(crate::metrics::Counted)
        .layer(SetRequestIdLayer::new(REQUEST_ID, NewId))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer_fn(Traced)
        .layer_fn(Spanned)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(auth)
        .into_inner();
    // An answer goes out in several writes, and none of them waits for the acknowledgement of the one before.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let incoming = incoming.map(|connection| connection.map(Greeted::soon));
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        // Fixed windows: adaptive ones measure the way with a PING for each message, which doubles the packets of small calls.
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_concurrent_streams(1024)
        .http2_max_header_list_size(16 * 1024)
        .timeout(Duration::from_secs(120))
        .max_connection_age(OLD)
        .max_connection_age_grace(OLDEST)
        .layer(layers)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .map_err(|error| Error::internal("serving", error))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> http::Response<Body> {
    tracing::error!("a handler panicked");
    granary_proto::status::to_status(Error::Internal {
        context: "handling the call".into(),
        cause: None,
    })
    .into_http()
}
