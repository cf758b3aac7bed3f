use std::{convert::Infallible, future, io};

use futures::{StreamExt as _, stream};
use granary_proto::metadata::v1::{
    CreateProjectRequest, GetProjectRequest, project_service_client::ProjectServiceClient,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::TcpListener,
    time::Instant,
};
use tonic::{Status, server::NamedService, transport::Server};
use tower::service_fn;

use super::*;
use crate::{Link, auth::TokenSource, link::Way};

/// Answers every call with its own name as an error's text.
#[derive(Clone)]
struct Echo(&'static str);

impl NamedService for Echo {
    const NAME: &'static str = "granary.metadata.v1.ProjectService";
}

impl tower::Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        future::ready(Ok(Status::not_found(self.0).into_http()))
    }
}

/// What is at an address.
#[derive(Clone, Copy)]
enum Host {
    Echo(&'static str),
    /// Nobody listens.
    Refuses,
    /// Nothing comes back.
    Hole,
    /// Connections are taken, and nothing is ever said.
    Hangs,
    /// Takes a call, says these frames of HTTP/2, and closes if there are none.
    Says(&'static [u8]),
}

impl Host {
    async fn connect(self) -> io::Result<TokioIo<DuplexStream>> {
        let (here, there) = duplex(64 * 1024);
        match self {
            Self::Echo(name) => {
                let incoming = stream::iter([Ok::<_, io::Error>(there)]).chain(stream::pending());
                let server = Server::builder().add_service(Echo(name));
                spawn(server.serve_with_incoming(incoming));
            }
            Self::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
            Self::Hole => {
                tokio::time::sleep(connection::CONNECT_TIMEOUT).await;
                return Err(io::ErrorKind::TimedOut.into());
            }
            Self::Hangs => spawn(async move {
                let _open = there;
                future::pending::<()>().await;
            }),
            Self::Says(frames) => spawn(say(there, frames)),
        }
        Ok(TokioIo::new(here))
    }
}

fn spawn<F>(task: F)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    #[allow(clippy::disallowed_methods, reason = "a test")]
    tokio::spawn(task);
}

async fn say(mut io: DuplexStream, frames: &[u8]) -> io::Result<()> {
    io.read_exact(&mut [0; 24]).await?;
    // Until there are headers: a call.
    loop {
        let mut frame = [0; 9];
        io.read_exact(&mut frame).await?;
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        io.read_exact(&mut vec![0; length as usize]).await?;
        if frame[3] == 1 {
            break;
        }
    }
    if frames.is_empty() {
        return Ok(());
    }
    // Settings, which come first.
    io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    io.write_all(frames).await?;
    tokio::io::copy(&mut io, &mut tokio::io::sink()).await?;
    Ok(())
}

/// Hosts at addresses that count from 127.0.0.1:0.
#[derive(Clone)]
struct Network(Arc<Mutex<Vec<Host>>>);

impl Network {
    fn of<const N: usize>(hosts: [Host; N]) -> (Self, Replicas) {
        let network = Self(Arc::new(Mutex::new(hosts.into())));
        let connecting = network.clone();
        let connect = move |address: SocketAddr| {
            let (network, place) = (connecting.clone(), usize::from(address.port()));
            let connector = service_fn(move |_| {
                let host = network.0.lock()[place];
                host.connect()
            });
            Some(connection::endpoint(address)?.connect_with_connector_lazy(connector))
        };
        let replicas = Replicas::new(vec!["test".into()], Box::new(connect));
        replicas.take(&(0..N).map(address).collect());
        (network, replicas)
    }
}

fn address(place: usize) -> SocketAddr {
    ([127, 0, 0, 1], u16::try_from(place).unwrap()).into()
}

fn client(replicas: &Replicas) -> ProjectServiceClient<Link> {
    let link = Link::over(Way::Replicas(replicas.clone()), TokenSource::none());
    ProjectServiceClient::new(link)
}

/// Who answers a call that only reads.
async fn read(replicas: &Replicas) -> String {
    let mut client = client(replicas);
    let status = client.get_project(GetProjectRequest::default());
    status.await.unwrap_err().message().to_owned()
}

/// Who answers a call that is not to be made twice.
async fn write(replicas: &Replicas) -> String {
    let mut client = client(replicas);
    let status = client.create_project(CreateProjectRequest::default());
    status.await.unwrap_err().message().to_owned()
}

#[tokio::test(start_paused = true)]
async fn calls_go_round_and_past_those_that_are_gone() {
    let (_, replicas) = Network::of([Host::Echo("a"), Host::Echo("b")]);
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(write(&replicas).await);
    }
    assert_eq!(heard, ["a", "b", "a", "b"]);
    let (_, replicas) = Network::of([Host::Refuses, Host::Echo("b")]);
    for _ in 0..4 {
        assert_eq!(write(&replicas).await, "b");
    }
    replicas.take(&BTreeSet::new());
    assert!(write(&replicas).await.contains("is away"));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_answer_holds_up_the_first_calls_only_and_not_for_long() {
    let (_, replicas) = Network::of([Host::Hole, Host::Echo("b")]);
    let begun = Instant::now();
    let calls = join_all((0..100).map(|_| write(&replicas))).await;
    assert_eq!(BTreeSet::from_iter(calls), ["b".to_owned()].into());
    assert!(begun.elapsed() <= connection::SEND_TIMEOUT + Duration::from_millis(1));
    replicas.probe().await;
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(write(&replicas).await, "b");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_hangs_gets_no_calls_until_it_answers() {
    let (network, replicas) = Network::of([Host::Hangs, Host::Echo("b")]);
    replicas.probe().await;
    for _ in 0..4 {
        assert_eq!(write(&replicas).await, "b");
    }
    network.0.lock()[0] = Host::Echo("a");
    replicas.probe().await;
    let heard = [write(&replicas).await, write(&replicas).await];
    assert_eq!(BTreeSet::from(heard), ["a".into(), "b".into()].into());
}

#[tokio::test(start_paused = true)]
async fn a_single_replica_that_was_away_is_called_again_as_soon_as_it_is_back() {
    let (network, replicas) = Network::of([Host::Refuses]);
    assert_ne!(write(&replicas).await, "a");
    network.0.lock()[0] = Host::Echo("a");
    assert_eq!(write(&replicas).await, "a");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_handled_is_made_again_only_if_it_reads() {
    // A reset of the call: it was refused, or it failed. A farewell: none of the calls was taken.
    const REFUSED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    const FAILED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    const FAREWELL: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (name, first, expected) in [
        ("refuses connections", Host::Refuses, true),
        ("closes", Host::Says(&[]), false),
        ("fails", Host::Says(FAILED), false),
        ("refuses the call", Host::Says(REFUSED), true),
        ("goes away", Host::Says(FAREWELL), true),
    ] {
        let (_, replicas) = Network::of([first, Host::Echo("b")]);
        assert_eq!(write(&replicas).await == "b", expected, "{name}");
        let (_, replicas) = Network::of([first, Host::Echo("b")]);
        assert_eq!(read(&replicas).await, "b", "{name}");
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_hides_no_other_and_stands_for_what_it_stood_for() {
    let replicas = Replicas::new(Vec::new(), Box::new(connection::connect));
    let found = || -> Vec<_> {
        let all = replicas.0.found.read().silent();
        all.iter().map(|replica| replica.address.port()).collect()
    };
    let (wrong, right) = (
        || "m-0:no-port".to_owned(),
        || Name::new("127.0.0.1:7".into()),
    );
    replicas.look_up(&mut [Name::new(wrong()), right()]).await;
    assert_eq!(found(), [7]);
    let before = Name::known(wrong(), [address(8)].into());
    replicas.look_up(&mut [before, right()]).await;
    assert_eq!(found(), [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_some_seconds_for_the_first_replica() {
    let (_, replicas) = Network::of([Host::Echo("a")]);
    replicas.take(&BTreeSet::new());
    let begun = Instant::now();
    let comes = async {
        tokio::time::sleep(SEARCH_TIMEOUT / 2).await;
        replicas.take(&[address(0)].into());
    };
    let (heard, ()) = tokio::join!(write(&replicas), comes);
    assert_eq!((heard.as_str(), begun.elapsed()), ("a", SEARCH_TIMEOUT / 2));
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    spawn(
        Server::builder()
            .add_service(Echo("a"))
            .serve_with_incoming(incoming),
    );
    let tasks = Tasks::new();
    let url = Url::parse(&format!("http://127.0.0.1:{}", address.port())).unwrap();
    let replicas = Replicas::find(&[url], &tasks).unwrap();
    assert_eq!(read(&replicas).await, "a");
    assert!(tasks.drain(Duration::from_secs(5)).await);
}
