//! How one service calls another: through the generated client, in process or across the network, with the service's own token.

use std::{
    convert::Infallible,
    mem,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use granary_proto::status::to_status;
use http::{Request, Response, header::AUTHORIZATION};
use tonic::{body::Body, transport::Channel};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::{
    auth::{self, TokenSource},
    doubtful, metrics,
    replicas::Replicas,
    trace,
};

/// The code of calls without a valid token, as headers have it.
const UNAUTHENTICATED: &str = "16";

/// A served set of gRPC services, with its token check in front.
pub type Served = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A way to another service. Cheap to clone; what a generated client is made of: `AssetServiceClient::new(link)`.
#[derive(Clone)]
pub struct Link {
    way: Way,
    token: TokenSource,
}

/// Where the services are. Cheap to clone.
#[derive(Clone)]
pub enum Way {
    /// In this process.
    Local(Served),
    /// At one address.
    Remote(Channel),
    /// In other processes, which are all alike.
    Replicas(Replicas),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(_) => f.write_str("Local"),
            Self::Remote(_) => f.write_str("Remote"),
            Self::Replicas(replicas) => replicas.fmt(f),
        }
    }
}

impl Link {
    /// To services wherever they are.
    pub fn over(way: Way, token: TokenSource) -> Self {
        Self { way, token }
    }

    /// To services in this process.
    pub fn local(served: Served, token: TokenSource) -> Self {
        Self::over(Way::Local(served), token)
    }

    /// To services behind a channel.
    pub fn remote(channel: Channel, token: TokenSource) -> Self {
        Self::over(Way::Remote(channel), token)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({:?})", self.way)
    }
}

impl Service<Request<Body>> for Link {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match &mut self.way {
            Way::Local(_) | Way::Replicas(_) => Poll::Ready(Ok(())),
            Way::Remote(channel) => channel.poll_ready(cx),
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(header) = auth::behalf_header() {
            request.headers_mut().insert(auth::ON_BEHALF_OF, header);
        }
        let span = trace::call(&mut request);
        let (way, token) = (self.way.take(), self.token.clone());
        let counted = metrics::call(&request);
        let answer = async move {
            let header = match token.ready() {
                Some(header) => header,
                None => match token.header().await {
                    Ok(header) => header,
                    Err(error) => return Ok(to_status(error).into_http()),
                },
            };
            if let Some(header) = header.clone() {
                request.headers_mut().insert(AUTHORIZATION, header);
            }
            if token.is_doubtful(header.as_ref()) {
                return doubtful::call(way, request, &token).await;
            }
            let response = way.call(request).await?;
            if is_refused(&response) {
                token.refused(header.as_ref());
            }
            Ok(response)
        };
        Box::pin(metrics::answered(counted, trace::answered(span, answer)))
    }
}

impl Way {
    /// The one that is ready; the next call polls the one that stays.
    fn take(&mut self) -> Self {
        let other = self.clone();
        mem::replace(self, other)
    }

    /// The same, once it can be called.
    pub(crate) async fn ready(mut self) -> Result<Self, tonic::transport::Error> {
        if let Self::Remote(channel) = &mut self {
            channel.ready().await?;
        }
        Ok(self)
    }

    /// Makes a call. It has to be ready.
    pub(crate) async fn call(
        self,
        request: Request<Body>,
    ) -> Result<Response<Body>, tonic::transport::Error> {
        match self {
            Self::Local(served) => match served.oneshot(request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            },
            Self::Remote(mut channel) => channel.call(request).await,
            Self::Replicas(replicas) => replicas.call(request).await,
        }
    }
}

// Such answers have no body: the status stands in the headers.
fn is_refused(response: &Response<Body>) -> bool {
    let status = response.headers().get("grpc-status");
    status.is_some_and(|code| code == UNAUTHENTICATED)
}
