//! All replicas of a service behind one name: calls go round, and what did not reach one goes to the next.
//!
//! A name is looked up again every few seconds, and at once after a connection failed. A replica whose connection failed is called last, until it
//! has answered. A call is tried again if it certainly was not handled, or if handling it twice changes nothing; never in proportion to what fails,
//! but out of a budget.

mod connection;
mod found;
mod lookup;
mod repeat;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use granary_core::{Error, Result};
use granary_proto::status::to_status;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use tonic::body::Body;
use tower::retry::budget::{Budget as _, TpsBudget};
use url::Url;

use self::{
    connection::Failure,
    found::{Connect, Found, Replica},
    lookup::Name,
};
use crate::task::Tasks;

/// How often the name is looked up: CoreDNS gives its answers for 5 seconds unless it is told otherwise.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// The same while it stands for nobody, as when all services start at the same time.
const SEARCH_INTERVAL: Duration = Duration::from_millis(500);
/// How long a call waits for the first replica: longer than those who answer for a name remember that it stood for nobody.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);
/// One failure is told by many calls: they are gathered, so that the name is looked up a few times a second at most.
const GATHER: Duration = Duration::from_millis(200);
/// How often one call is tried at most. Whoever meets so many replicas that are away meets a service that is.
const TRIES: usize = 4;

/// The replicas of a service. Cheap to clone.
#[derive(Clone)]
pub struct Replicas(Arc<Inner>);

struct Inner {
    /// `HOST:PORT`, one or several.
    names: Vec<String>,
    found: RwLock<Found>,
    /// Whether there are any.
    any: watch::Sender<bool>,
    /// Told when a connection fails: perhaps its replica is gone.
    failed: Notify,
    /// One try in five calls may be a second one, and ten a second in any case.
    budget: TpsBudget,
}

impl std::fmt::Debug for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replicas({})", self.0.names.join(", "))
    }
}

impl Replicas {
    /// Those behind one or several `http://NAME:PORT`, looked up until the tasks stop. Calls wait some seconds for the first, and fail with
    /// UNAVAILABLE while there are none.
    pub fn find(urls: &[Url], tasks: &Tasks) -> Result<Self> {
        let name = |url: &Url| match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => Ok(format!("{host}:{port}")),
            _ => Err(Error::invalid("url", format!("{url} names no host"))),
        };
        let names = urls.iter().map(name).collect::<Result<_>>()?;
        let replicas = Self::new(names, Box::new(connection::connect));
        let (keeping, stop) = (replicas.clone(), tasks.stopping());
        tasks.spawn("replicas", async move {
            tokio::select! {
                () = keeping.keep() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(replicas)
    }

    fn new(names: Vec<String>, connect: Connect) -> Self {
        Self(Arc::new(Inner {
            names,
            found: RwLock::new(Found::new(connect)),
            any: watch::Sender::new(false),
            failed: Notify::new(),
            budget: TpsBudget::new(Duration::from_secs(10), 10, 0.2),
        }))
    }

    async fn keep(&self) {
        let mut names: Vec<_> = self.0.names.iter().cloned().map(Name::new).collect();
        loop {
            self.look_up(&mut names).await;
            self.probe().await;
            let interval = match *self.0.any.borrow() {
                true => LOOKUP_INTERVAL,
                false => SEARCH_INTERVAL,
            };
            let failed = tokio::time::timeout(interval, self.0.failed.notified());
            if failed.await.is_ok() {
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    /// Takes what all names stand for. One that cannot be looked up hides no other.
    async fn look_up(&self, names: &mut [Name]) {
        let found = join_all(names.iter_mut().map(Name::look_up)).await;
        self.take(&found.into_iter().flatten().copied().collect());
    }

    fn take(&self, addresses: &BTreeSet<SocketAddr>) {
        if self.0.found.write().set(addresses) {
            let replicas = addresses.len();
            self.0.any.send_replace(replicas > 0);
            tracing::info!(names = ?self.0.names, replicas, "replicas of a service");
        }
    }

    /// Asks those that are new, or failed, whether they answer.
    async fn probe(&self) {
        let silent = self.0.found.read().silent();
        join_all(silent.into_iter().map(|replica| async move {
            match connection::answers(&replica.channel).await {
                true => self.0.found.write().answered(&replica),
                false => self.0.found.write().failed(&replica),
            }
        }))
        .await;
    }

    /// Makes a call, at another replica if it did not reach the first. Its message is a single one, which is held until it is answered.
    pub(crate) async fn call(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, tonic::transport::Error> {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(status) => return Ok(status.into_http()),
        };
        let again = repeat::is_repeatable(head.uri.path());
        self.0.budget.deposit();
        let mut turn = self.turn().await.into_iter().peekable();
        while let Some(replica) = turn.next() {
            let request = Request::from_parts(head.clone(), body.clone());
            let failure = match connection::call(replica.channel.clone(), request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            self.note(&replica, &failure);
            let repeat = again || !failure.may_have_been_handled();
            if turn.peek().is_none() || !repeat || !self.0.budget.withdraw() {
                return match failure {
                    Failure::NotSent => Ok(away()),
                    Failure::Broken(error) => Err(error),
                };
            }
            tracing::debug!(names = ?self.0.names, ?failure, "tried again elsewhere");
        }
        Ok(away())
    }

    /// Some of them, beginning with the one whose turn it is; none if there are none for some seconds.
    async fn turn(&self) -> Vec<Replica> {
        let mut any = self.0.any.subscribe();
        let _ = tokio::time::timeout(SEARCH_TIMEOUT, any.wait_for(|any| *any)).await;
        let mut turn = self.0.found.read().round_robin(TRIES);
        // A single replica may be back at once.
        if let [only] = &turn[..] {
            turn.push(only.clone());
        }
        turn
    }

    fn note(&self, replica: &Replica, failure: &Failure) {
        if failure.is_of_the_connection() {
            self.0.found.write().failed(replica);
            self.0.failed.notify_one();
        }
    }
}

fn away() -> Response<Body> {
    to_status(Error::Unavailable {
        reason: "one of the services behind this one is away: try again soon".into(),
        cause: None,
    })
    .into_http()
}
