//! The layer in front of every service: no call without a token, and none that its role may not make.

use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use granary_core::Error;
use granary_proto::status::to_status;
use http::{Request, Response, header::AUTHORIZATION};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{REFUSED, Verifier, may_call};

// Health says nothing but whether the process serves, and those who ask it have no tokens.
const OPEN: &str = "/grpc.health.v1.Health/";

/// Checks tokens and roles.
#[derive(Clone, Debug)]
pub struct AuthLayer(Verifier);

impl AuthLayer {
    /// A layer that takes what this verifier takes.
    pub fn new(verifier: Verifier) -> Self {
        Self(verifier)
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth {
            inner,
            verifier: self.0.clone(),
        }
    }
}

/// A service behind the check.
#[derive(Clone, Debug)]
pub struct Auth<S> {
    inner: S,
    verifier: Verifier,
}

impl<S, B> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if !request.uri().path().starts_with(OPEN)
            && let Err(error) = self.admit(&mut request)
        {
            return Either::Right(ready(Ok(to_status(error).into_http())));
        }
        Either::Left(self.inner.call(request))
    }
}

impl<S> Auth<S> {
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Error> {
        let path = request.uri().path();
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|header| header.to_str().ok())
            .and_then(bearer);
        let verdict = token
            .ok_or("no token")
            .and_then(|token| self.verifier.verify(token));
        let principal = verdict.map_err(|reason| {
            tracing::info!(path, reason, "token refused");
            Error::Unauthenticated {
                reason: REFUSED.into(),
            }
        })?;
        if !may_call(principal.role, path) {
            tracing::info!(path, subject = %principal.subject, role = ?principal.role, "call refused");
            let method = path.rsplit('/').next().unwrap_or_default();
            return Err(Error::Denied {
                reason: format!("your role may not call {method}"),
            });
        }
        request.extensions_mut().insert(principal);
        Ok(())
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
