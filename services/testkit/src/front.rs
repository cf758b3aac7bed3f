//! One address in front of services that are apart, as an ingress is: each call goes to the service that its path names.

use std::{convert::Infallible, net::SocketAddr};

use http::{Request, Response};
use tokio::net::TcpListener;
use tonic::{
    Status,
    body::Body,
    service::Routes,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tower::{Service as _, ServiceExt as _};

/// What stands in front, as long as the test runs.
#[derive(Clone, Debug)]
pub struct Front {
    address: SocketAddr,
}

impl Front {
    /// Starts it: calls whose path begins with the first, such as `/granary.job.`, go to the second.
    pub async fn start(services: Vec<(&'static str, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let channel = |url: String| Endpoint::from_shared(url).unwrap().connect_lazy();
        let channels: Vec<_> = services
            .into_iter()
            .map(|(path, url)| (path, channel(url)))
            .collect();
        let forward = tower::service_fn(move |request| forward(channels.clone(), request));
        let routes = Routes::default().into_axum_router();
        let routes = Routes::from(routes.fallback_service(forward));
        let serving = Server::builder()
            .add_routes(routes)
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(async move { serving.await.unwrap() });
        Self { address }
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn forward<B>(
    channels: Vec<(&'static str, Channel)>,
    request: Request<B>,
) -> Result<Response<Body>, Infallible>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = request.uri().path().to_owned();
    let found = channels.into_iter().find(|(of, _)| path.starts_with(of));
    let Some((_, mut channel)) = found else {
        return Ok(Status::unimplemented("no such service").into_http());
    };
    let answered = match channel.ready().await {
        Ok(channel) => channel.call(request.map(Body::new)).await,
        Err(error) => Err(error),
    };
    Ok(answered.unwrap_or_else(|error| Status::unavailable(error.to_string()).into_http()))
}
