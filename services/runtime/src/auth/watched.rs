//! Streams that end when their caller loses the right to them, or their token ends.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use granary_core::{Error, Result};
use granary_proto::status::to_status;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};
use tonic::{Status, body::Body};

use super::{Caller, Directory, REFUSED, layer::admit, roles::Rule};

const PERIOD: Duration = Duration::from_secs(4);

/// What has to stay so while a stream runs.
#[derive(Debug)]
pub(super) struct Lasting {
    /// How long the token still counts.
    pub left: Duration,
    /// Of callers who have their role from a project.
    pub membership: Option<Membership>,
}

/// A role in a project.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub directory: Directory,
    pub caller: Arc<Caller>,
    pub rule: &'static Rule,
}

impl Membership {
    async fn check(self) -> Result<()> {
        let Some(project) = &self.caller.project else {
            return Ok(());
        };
        let role = self.directory.role(&self.caller.principal, project);
        admit(self.rule, role.await?, Some(project))
    }
}

/// The answer, as long as the caller may have it.
pub(super) fn guard(body: Body, lasting: Lasting) -> Body {
    Body::new(Watched {
        body,
        token: Box::pin(tokio::time::sleep(lasting.left)),
        checks: lasting.membership.map(Checks::new),
        ended: false,
    })
}

/// Waits for the answer of a call that may take long, as long as the caller may have it.
pub(super) async fn during<T>(work: impl Future<Output = T>, lasting: Lasting) -> Result<T> {
    let mut work = pin!(work);
    let mut token = pin!(tokio::time::sleep(lasting.left));
    let mut checks = lasting.membership.map(Checks::new);
    poll_fn(|cx| {
        if let Poll::Ready(answer) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        if token.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(over()));
        }
        let checks = checks.as_mut().map(|checks| checks.poll(cx));
        checks.unwrap_or(Poll::Pending).map(Err)
    })
    .await
}

fn over() -> Error {
    Error::Unauthenticated {
        reason: REFUSED.into(),
    }
}

struct Watched {
    body: Body,
    token: Pin<Box<Sleep>>,
    checks: Option<Checks>,
    ended: bool,
}

impl Watched {
    /// Whether a role is being asked for: until the answer is there, nothing goes out.
    fn is_in_doubt(&self) -> bool {
        let checks = self.checks.as_ref();
        checks.is_some_and(|checks| checks.checking.is_some())
    }

    /// Ready with why the stream ends, if it has to.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.token.as_mut().poll(cx).is_ready() {
            return Poll::Ready(over());
        }
        match &mut self.checks {
            Some(checks) => checks.poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Whether a role is still there, asked again and again.
struct Checks {
    membership: Membership,
    period: Interval,
    checking: Option<BoxFuture<'static, Result<()>>>,
}

impl Checks {
    fn new(membership: Membership) -> Self {
        let mut period = tokio::time::interval_at(Instant::now() + PERIOD, PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            membership,
            period,
            checking: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            if let Some(checking) = &mut self.checking {
                let Poll::Ready(verdict) = checking.as_mut().poll(cx) else {
                    return Poll::Pending;
                };
                self.checking = None;
                if let Err(error) = verdict {
                    return Poll::Ready(error);
                }
            }
            if self.period.poll_tick(cx).is_pending() {
                return Poll::Pending;
            }
            self.checking = Some(Box::pin(self.membership.clone().check()));
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
        if let Poll::Ready(error) = self.poll_end(cx) {
            self.ended = true;
            // What was served goes at once, not with the connection.
            self.body = Body::empty();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&to_status(error))))));
        }
        // Whoever did not read for a while gets nothing of what came since, before it is known whether they may.
        if self.is_in_doubt() {
            return Poll::Pending;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{Stream, StreamExt as _, stream};
    use granary_proto::identity::v1::ProjectRole;
    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::auth::{AuthLayer, CLOCK_SKEW, Issuer, Role, directory::tests::Fake};

    const LIFETIME: Duration = Duration::from_secs(60);
    /// `parent` is `projects/p`.
    const MESSAGE: &[u8] = b"\0\0\0\0\x0c\x0a\x0aprojects/p";

    fn event() -> Result<Frame<Bytes>, Status> {
        Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\0")))
    }

    /// The answer to a call that follows events, which would go on for ever.
    async fn followed(role: Option<Role>, fake: &Fake) -> Body {
        let one = stream::once(async { event() });
        followed_with(role, fake, one.chain(stream::pending())).await
    }

    /// The same with these frames.
    async fn followed_with(
        role: Option<Role>,
        fake: &Fake,
        frames: impl Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
    ) -> Body {
        let issuer = Issuer::ephemeral().unwrap();
        let (token, _) = issuer.issue("bob", role, LIFETIME).unwrap();
        let answer = Response::new(Body::new(StreamBody::new(frames)));
        let answer = Arc::new(parking_lot::Mutex::new(Some(answer)));
        let endless = tower::service_fn(move |_: Request<Body>| {
            let answer = answer.lock().take().unwrap();
            async { Ok::<_, Infallible>(answer) }
        });
        let request = Request::post("/granary.metadata.v1.EventService/WatchEvents")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::new(Full::from(MESSAGE)))
            .unwrap();
        let gate = AuthLayer::outside(issuer.verifier(), fake.directory());
        let mut body = gate
            .layer(endless)
            .oneshot(request)
            .await
            .unwrap()
            .into_body();
        assert!(body.frame().await.unwrap().unwrap().is_data());
        body
    }

    /// How a stream ends, and after how long.
    async fn end(body: &mut Body) -> (String, Duration) {
        let begun = Instant::now();
        let frame = body.frame().await.unwrap().unwrap();
        let trailers = frame.into_trailers().unwrap();
        assert!(body.frame().await.is_none());
        let code = trailers.get("grpc-status").unwrap();
        (code.to_str().unwrap().to_owned(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_token_whatever_the_role_is() {
        let fake = Fake::default();
        fake.says(ProjectRole::Viewer, Some(PERIOD));
        for role in [Some(Role::Administrator), None] {
            let mut body = followed(role, &fake).await;
            let (code, after) = end(&mut body).await;
            assert_eq!(code, "16", "{role:?}");
            // When a token ends is told in whole seconds of the time of day, which does not stand still.
            let whole = LIFETIME + CLOCK_SKEW;
            assert!(
                (whole / 2..=whole + Duration::from_secs(1)).contains(&after),
                "{role:?}: {after:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_soon_after_its_caller_is_no_member_any_more() {
        let fake = Fake::default();
        fake.says(ProjectRole::Viewer, Some(PERIOD));
        let mut body = followed(None, &fake).await;
        fake.says(ProjectRole::Unspecified, Some(PERIOD));
        let (code, after) = end(&mut body).await;
        assert_eq!(code, "5");
        assert!(after <= PERIOD * 2, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_did_not_read_gets_nothing_of_what_came_after_the_removal() {
        let fake = Fake::default();
        fake.says(ProjectRole::Viewer, Some(PERIOD));
        let mut body = followed_with(None, &fake, stream::repeat_with(event)).await;
        fake.says(ProjectRole::Unspecified, Some(PERIOD));
        tokio::time::advance(PERIOD * 3).await;
        assert_eq!(end(&mut body).await.0, "5");
    }
}
