//! All replicas of a service behind one name: calls go round, and what did not reach one goes to the next.
//!
//! A name is looked up again every few seconds, and at once after a connection failed. A call is tried again if it certainly was not handled, or
//! if handling it twice changes nothing; never in proportion to what fails, but out of a budget.

use std::{
    collections::BTreeSet,
    error::Error as StdError,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use granary_core::{Error, Result};
use granary_proto::status::to_status;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use parking_lot::RwLock;
use tokio::sync::Notify;
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{
    Service as _, ServiceExt as _,
    retry::budget::{Budget as _, TpsBudget},
};
use url::Url;

use crate::task::Tasks;

/// How often the name is looked up.
const PERIOD: Duration = Duration::from_secs(5);
/// How long connecting may take: replicas are near.
const CONNECTING: Duration = Duration::from_secs(2);
/// How long one look-up may take.
const LOOKING: Duration = Duration::from_secs(5);
/// Longer than any call may take at the server.
const ANSWERING: Duration = Duration::from_secs(130);
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// How often one call is tried at most.
const TRIES: usize = 4;

/// The replicas of a service. Cheap to clone.
#[derive(Clone)]
pub struct Replicas(Arc<Inner>);

struct Inner {
    /// `HOST:PORT`, one or several.
    names: Vec<String>,
    found: RwLock<Vec<(SocketAddr, Channel)>>,
    next: AtomicUsize,
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
    /// Those behind one or several `http://NAME:PORT`, looked up until the tasks stop. Calls fail with UNAVAILABLE while there are none.
    pub fn find(urls: &[Url], tasks: &Tasks) -> Result<Self> {
        let name = |url: &Url| match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => Ok(format!("{host}:{port}")),
            _ => Err(Error::invalid("url", format!("{url} names no host"))),
        };
        let replicas = Self(Arc::new(Inner {
            names: urls.iter().map(name).collect::<Result<_>>()?,
            found: RwLock::default(),
            next: AtomicUsize::new(0),
            failed: Notify::new(),
            budget: TpsBudget::new(Duration::from_secs(10), 10, 0.2),
        }));
        let (looking, stop) = (replicas.clone(), tasks.stopping());
        tasks.spawn("replicas", async move {
            tokio::select! {
                () = looking.look() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(replicas)
    }

    async fn look(&self) {
        loop {
            let all = self.0.names.iter().map(|name| look_up(name));
            // What is not known now is as it was.
            if let Ok(found) = futures::future::try_join_all(all).await {
                self.take(found.into_iter().flatten().collect());
            }
            let wait = tokio::time::timeout(PERIOD, self.0.failed.notified());
            if wait.await.is_ok() {
                // One failure is told by many calls.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// Keeps the connections to those that are still there. Calls in progress end on those to the others.
    fn take(&self, found: BTreeSet<SocketAddr>) {
        let mut known = self.0.found.write();
        if known.iter().map(|(address, _)| address).eq(found.iter()) {
            return;
        }
        tracing::info!(
            names = ?self.0.names,
            replicas = found.len(),
            "replicas of a service"
        );
        let kept = |address: &SocketAddr| {
            let one = known.iter().find(|(known, _)| known == address)?;
            Some(one.1.clone())
        };
        *known = found
            .iter()
            .filter_map(|address| {
                let channel = kept(address).or_else(|| connect(*address))?;
                Some((*address, channel))
            })
            .collect();
    }

    /// Some of them, beginning with the one whose turn it is.
    fn turn(&self) -> Vec<Channel> {
        let found = self.0.found.read();
        let first = self.0.next.fetch_add(1, Ordering::Relaxed);
        (0..found.len().min(TRIES))
            .filter_map(|place| found.get(first.wrapping_add(place) % found.len()))
            .map(|(_, channel)| channel.clone())
            .collect()
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
        let again = is_repeatable(head.uri.path());
        let mut channels = self.turn();
        // A single replica may be back at once.
        if let [only] = &channels[..] {
            channels.push(only.clone());
        }
        self.0.budget.deposit();
        let mut channels = channels.into_iter().peekable();
        while let Some(mut channel) = channels.next() {
            let request = Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
            let answer = match channel.ready().await {
                Ok(channel) => channel.call(request).await,
                Err(error) => Err(error),
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            self.0.failed.notify_one();
            let repeat = again || !may_have_been_handled(&error);
            if channels.peek().is_none() || !repeat || !self.0.budget.withdraw() {
                return Err(error);
            }
            tracing::debug!(names = ?self.0.names, %error, "tried again elsewhere");
        }
        Ok(to_status(Error::Unavailable {
            reason: "one of the services behind this one is away: try again soon".into(),
            cause: None,
        })
        .into_http())
    }
}

async fn look_up(name: &str) -> Result<Vec<SocketAddr>, ()> {
    match tokio::time::timeout(LOOKING, tokio::net::lookup_host(name)).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => {
            tracing::warn!(name, %error, "cannot look up a service");
            Err(())
        }
        Err(_) => {
            tracing::warn!(name, "looking up a service takes too long");
            Err(())
        }
    }
}

fn connect(address: SocketAddr) -> Option<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    let endpoint = endpoint
        .connect_timeout(CONNECTING)
        .timeout(ANSWERING)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_PATIENCE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024);
    Some(endpoint.connect_lazy())
}

/// Whether making the call twice is as good as once: those that only read.
fn is_repeatable(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    ["Get", "List", "BatchGet", "Check"]
        .iter()
        .any(|verb| method.starts_with(verb))
}

/// Whether a call that failed on its way may have been handled all the same.
fn may_have_been_handled(error: &tonic::transport::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(this) = cause {
        let never_sent = this.is::<tonic::ConnectError>()
            || this
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_canceled)
            || this.downcast_ref::<h2::Error>().is_some_and(was_not_taken);
        if never_sent {
            return false;
        }
        cause = this.source();
    }
    true
}

// A server that goes away says which calls it still answers: the others come back with its farewell.
fn was_not_taken(error: &h2::Error) -> bool {
    let farewell = error.is_go_away() && error.is_remote();
    error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (farewell && error.reason() == Some(h2::Reason::NO_ERROR))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use granary_proto::metadata::v1::{
        GetProjectRequest, project_service_client::ProjectServiceClient,
    };
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;
    use tonic::{server::NamedService, transport::Server};

    use super::*;
    use crate::{Link, auth::TokenSource, link::Way};

    /// Answers every call with its own port as an error's text.
    #[derive(Clone)]
    struct Echo(u16);

    impl NamedService for Echo {
        const NAME: &'static str = "granary.metadata.v1.ProjectService";
    }

    impl tower::Service<Request<Body>> for Echo {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let status = tonic::Status::not_found(self.0.to_string());
            std::future::ready(Ok(status.into_http()))
        }
    }

    async fn replica(stop: &CancellationToken) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let stop = stop.clone().cancelled_owned();
        let server = Server::builder().add_service(Echo(address.port()));
        #[allow(clippy::disallowed_methods, reason = "a test")]
        tokio::spawn(server.serve_with_incoming_shutdown(incoming, stop));
        address
    }

    fn nobody() -> Replicas {
        Replicas(Arc::new(Inner {
            names: vec!["test".into()],
            found: RwLock::default(),
            next: AtomicUsize::new(0),
            failed: Notify::new(),
            budget: TpsBudget::new(Duration::from_secs(10), 10, 0.2),
        }))
    }

    async fn who_answers(replicas: &Replicas) -> String {
        let link = Link::over(Way::Replicas(replicas.clone()), TokenSource::none());
        let mut client = ProjectServiceClient::new(link);
        let status = client.get_project(GetProjectRequest::default()).await;
        status.unwrap_err().message().to_owned()
    }

    #[tokio::test]
    async fn calls_go_round_and_past_those_that_are_gone() {
        let (stops, replicas) = ([(); 2].map(|()| CancellationToken::new()), nobody());
        assert!(who_answers(&replicas).await.contains("is away"));
        let addresses = [replica(&stops[0]).await, replica(&stops[1]).await];
        replicas.take(addresses.into());
        let mut heard = BTreeSet::new();
        for _ in 0..4 {
            heard.insert(who_answers(&replicas).await);
        }
        let ports = addresses.map(|address| address.port().to_string());
        assert_eq!(heard, ports.clone().into());
        // One that never listened is as good as one that is gone.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = gone.local_addr().unwrap();
        replicas.take([addresses[1], gone].into());
        for _ in 0..4 {
            assert_eq!(who_answers(&replicas).await, ports[1]);
        }
        replicas.take(BTreeSet::new());
        assert!(who_answers(&replicas).await.contains("is away"));
    }

    #[tokio::test]
    async fn a_name_is_looked_up() {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let address = replica(&stop).await;
        let url = Url::parse(&format!("http://127.0.0.1:{}", address.port())).unwrap();
        let replicas = Replicas::find(&[url], &tasks).unwrap();
        while replicas.0.found.read().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(who_answers(&replicas).await, address.port().to_string());
        assert!(tasks.drain(Duration::from_secs(5)).await);
    }

    #[test]
    fn only_what_changes_nothing_is_made_twice() {
        for (path, expected) in [
            ("/granary.metadata.v1.AssetService/BatchGetAssets", true),
            ("/granary.identity.v1.AccessService/CheckAccess", true),
            ("/granary.metadata.v1.SessionService/CreateSession", false),
            ("/granary.metadata.v1.EventService/WatchEvents", false),
            ("", false),
        ] {
            assert_eq!(is_repeatable(path), expected, "{path}");
        }
    }
}
