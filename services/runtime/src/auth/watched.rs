//! Streams that end when their caller loses the right to them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use granary_core::Result;
use granary_proto::status::to_status;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Interval, MissedTickBehavior};
use tonic::{Status, body::Body};

use super::{Directory, Principal, layer::admit, roles::Rule};

const PERIOD: Duration = Duration::from_secs(4);

/// What has to stay so while a stream runs.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    pub directory: Directory,
    pub principal: Principal,
    pub project: Arc<str>,
    pub rule: &'static Rule,
}

impl Lasting {
    async fn check(self) -> Result<()> {
        let role = self.directory.role(&self.principal, &self.project).await?;
        admit(self.rule, role, Some(&self.project))
    }
}

/// The answer, as long as the caller may have it.
pub(super) fn guard(body: Body, lasting: Lasting) -> Body {
    let mut period = tokio::time::interval_at(tokio::time::Instant::now() + PERIOD, PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Body::new(Watched {
        body,
        lasting,
        period,
        checking: None,
        ended: false,
    })
}

struct Watched {
    body: Body,
    lasting: Lasting,
    period: Interval,
    checking: Option<BoxFuture<'static, Result<()>>>,
    ended: bool,
}

impl Watched {
    /// Ready with how the stream ends, if it has to.
    fn poll_check(&mut self, cx: &mut Context<'_>) -> Poll<HeaderMap> {
        loop {
            if let Some(checking) = &mut self.checking {
                let Poll::Ready(verdict) = checking.as_mut().poll(cx) else {
                    return Poll::Pending;
                };
                self.checking = None;
                if let Err(error) = verdict {
                    return Poll::Ready(trailers(&to_status(error)));
                }
            }
            if self.period.poll_tick(cx).is_pending() {
                return Poll::Pending;
            }
            self.checking = Some(Box::pin(self.lasting.clone().check()));
        }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", http::HeaderValue::from_static("7"));
    }
    trailers
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(trailers) = self.poll_check(cx) {
            self.ended = true;
            // What was served goes at once, not with the connection.
            self.body = Body::empty();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}
