//! The endpoint as a service of hyper: what comes before and after the S3 operations.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use s3s::{Body, HttpError, S3Error, S3ErrorCode, StdError, service::S3Service};

use crate::{
    disk::random_name,
    fault::{custom, fault},
};

/// Bytes of a refused body that are read all the same.
const MAX_DRAIN: u64 = 32 << 20;
/// How long that may take.
const DRAIN: Duration = Duration::from_secs(10);

/// The S3 endpoint as a service of hyper. Clones serve the same store.
#[derive(Clone, Debug)]
pub struct Service {
    s3: S3Service,
}

impl Service {
    pub(crate) fn new(s3: S3Service) -> Self {
        Self { s3 }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
        let mut response = match refuse(&request) {
            Some(error) => error
                .to_http_response()
                .map_err(|error| HttpError::new(Box::new(error)))?,
            None => self.serve(request).await?,
        };
        if let Ok(id) = HeaderValue::try_from(random_name()) {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        Ok(response)
    }

    async fn serve(self, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
        let waits = request.headers().contains_key(header::EXPECT);
        let (parts, body) = request.into_parts();
        let shared = SharedBody(Arc::new(Mutex::new(Shared {
            body,
            touched: !waits,
        })));
        let request = Request::from_parts(parts, Body::http_body(shared.clone()));
        let response = self.s3.call(request).await?;
        if !response.status().is_success() {
            shared.drain().await;
        }
        Ok(response)
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// Refuses what s3s would accept, or would read into memory before it knows who asks.
fn refuse(request: &Request<Incoming>) -> Option<S3Error> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    if text(header::AUTHORIZATION).starts_with("AWS ")
        || query_names(request).any(|name| matches!(name, "Signature" | "AWSAccessKeyId"))
    {
        return Some(fault(
            S3ErrorCode::InvalidRequest,
            "the endpoint takes Signature Version 4 only (AWS4-HMAC-SHA256): set signature_version to s3v4",
        ));
    }
    if request.method() == Method::POST
        && text(header::CONTENT_TYPE)
            .to_ascii_lowercase()
            .starts_with("multipart/form-data")
    {
        return Some(custom(
            "MethodNotAllowed",
            StatusCode::METHOD_NOT_ALLOWED,
            "uploads by HTML forms are not supported: use a presigned PUT",
        ));
    }
    None
}

fn query_names(request: &Request<Incoming>) -> impl Iterator<Item = &str> {
    request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split('=').next())
}

/// A request body of which the rest can be read after the request was answered.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Shared>>);

struct Shared {
    body: Incoming,
    /// Whether the client sends its body: one that expects `100 Continue` waits until somebody reads.
    touched: bool,
}

impl SharedBody {
    /// Reads what a client is still sending, within limits. Otherwise the connection would be reset while the client writes,
    /// and it would see a broken pipe in place of the answer.
    async fn drain(mut self) {
        if !self.0.lock().touched {
            return;
        }
        let mut read = 0;
        let reading = async {
            while let Some(Ok(frame)) =
                std::future::poll_fn(|context| Pin::new(&mut self).poll_frame(context)).await
            {
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > MAX_DRAIN {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN, reading).await;
    }
}

impl http_body::Body for SharedBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let mut shared = self.0.lock();
        shared.touched = true;
        Pin::new(&mut shared.body)
            .poll_frame(context)
            .map_err(StdError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.size_hint()
    }
}
