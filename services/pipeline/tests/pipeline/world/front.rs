//! Somebody between the engine and the services that it calls.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use granary_runtime::{
    Link,
    auth::{Role, TokenSource},
};
use http::{Request, Response};
use tokio::sync::Notify;
use tonic::{Status, body::Body};
use tower::{ServiceExt as _, service_fn, util::BoxCloneSyncService};

use super::{PATIENCE, World};

/// What becomes of one call.
#[derive(Clone, Debug)]
pub enum Act {
    /// It does what it should, and its answer never comes back.
    LoseAnswer,
    /// It is refused, and does nothing.
    Refuse(Status),
}

/// Lets all calls pass but one: the call number `nth` of `method`, counted from 1.
#[derive(Clone, Debug)]
pub struct Front {
    method: &'static str,
    nth: usize,
    act: Act,
    seen: Arc<AtomicUsize>,
    reached: Arc<Notify>,
}

impl Front {
    pub fn new(method: &'static str, nth: usize, act: Act) -> Self {
        Self {
            method,
            nth,
            act,
            seen: Arc::default(),
            reached: Arc::default(),
        }
    }

    /// A way through it.
    pub fn link(&self, world: &World) -> Link {
        let (front, others) = (self.clone(), world.link(Role::Service));
        let service = service_fn(move |request: Request<Body>| {
            let (front, others) = (front.clone(), others.clone());
            async move { Ok::<_, Infallible>(front.pass(request, others).await) }
        });
        let token = TokenSource::renewed(world.issuer.clone(), "front", Role::Service);
        Link::local(BoxCloneSyncService::new(service), token)
    }

    async fn pass(&self, request: Request<Body>, others: Link) -> Response<Body> {
        let counts = request.uri().path().ends_with(&format!("/{}", self.method));
        let it = counts && self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.nth;
        match &self.act {
            Act::Refuse(status) if it => status.clone().into_http(),
            Act::LoseAnswer if it => {
                others.oneshot(request).await.unwrap();
                self.reached.notify_one();
                std::future::pending().await
            }
            _ => match others.oneshot(request).await {
                Ok(answer) => answer,
                Err(error) => Status::unavailable(error.to_string()).into_http(),
            },
        }
    }

    /// Waits until the answer was lost.
    pub async fn reached(&self) {
        let (nth, method) = (self.nth, self.method);
        tokio::time::timeout(PATIENCE, self.reached.notified())
            .await
            .unwrap_or_else(|_| panic!("{method} was not called {nth} times"));
    }
}
