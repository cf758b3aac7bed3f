//! How one service calls another: through the generated client, in process or across the network, with the service's own token.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response, header::AUTHORIZATION};
use tonic::{body::Body, transport::Channel};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::auth::TokenSource;

/// A served set of gRPC services, with its token check in front.
pub type Served = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A way to another service. Cheap to clone; what a generated client is made of: `AssetServiceClient::new(link)`.
#[derive(Clone)]
pub struct Link {
    way: Way,
    token: TokenSource,
}

#[derive(Clone)]
enum Way {
    Local(Served),
    Remote(Channel),
}

impl Link {
    /// To services in this process.
    pub fn local(served: Served, token: TokenSource) -> Self {
        Self {
            way: Way::Local(served),
            token,
        }
    }

    /// To services behind a channel.
    pub fn remote(channel: Channel, token: TokenSource) -> Self {
        Self {
            way: Way::Remote(channel),
            token,
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.way {
            Way::Local(_) => "Link(local)",
            Way::Remote(_) => "Link(remote)",
        })
    }
}

impl Service<Request<Body>> for Link {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match &mut self.way {
            Way::Local(_) => Poll::Ready(Ok(())),
            Way::Remote(channel) => channel.poll_ready(cx),
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(header) = self.token.header() {
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        match &mut self.way {
            Way::Local(served) => {
                let served = served.clone();
                Box::pin(async move {
                    match served.oneshot(request).await {
                        Ok(response) => Ok(response),
                        Err(never) => match never {},
                    }
                })
            }
            Way::Remote(channel) => Box::pin(channel.call(request)),
        }
    }
}
