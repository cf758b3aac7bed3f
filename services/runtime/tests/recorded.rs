//! What becomes of calls: what the ledger is told, and what stands in the log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::{
    convert::Infallible,
    io::Write,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use granary_core::clock::SystemClock;
use granary_proto::{
    identity::v1::{
        AuditEntry, AuditVerdict, BatchCreateAuditEntriesRequest, BatchRecordUsageRequest,
        UsageRecord,
    },
    metadata::v1::{CreateDatasetRequest, GetDatasetRequest},
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    ledger::{Ledger, Options},
    link::Served,
    task::Tasks,
};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;
use tonic::{Code, Status, body::Body};
use tower::{Layer as _, ServiceExt as _, util::BoxCloneSyncService};

#[path = "recorded/made.rs"]
mod made;
#[path = "recorded/pressed.rs"]
mod pressed;

const CREATE: &str = "/granary.metadata.v1.DatasetService/CreateDataset";
const GET: &str = "/granary.metadata.v1.DatasetService/GetDataset";

/// A Metadata service that takes what it is told, unless it is away.
#[derive(Default)]
struct Fake {
    entries: Mutex<Vec<AuditEntry>>,
    /// How many more times it is away.
    away: AtomicUsize,
    /// What came of usage, by call.
    usage: Mutex<Vec<Vec<UsageRecord>>>,
    /// How many more calls of each kind it takes and never answers.
    mute_about_entries: AtomicUsize,
    mute_about_usage: AtomicUsize,
    taken: Notify,
}

/// One less, if there is any left.
fn counted_down(left: &AtomicUsize) -> bool {
    let fewer = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
        .is_ok()
}

impl Fake {
    async fn take_usage(&self, body: &[u8]) -> Response<Body> {
        let records = BatchRecordUsageRequest::decode(body).unwrap().records;
        self.usage.lock().push(records);
        self.answer(&self.mute_about_usage).await
    }

    async fn take_entries(&self, body: &[u8]) -> Response<Body> {
        if counted_down(&self.away) {
            return Status::unavailable("away").into_http();
        }
        let request = BatchCreateAuditEntriesRequest::decode(body).unwrap();
        self.entries.lock().extend(request.entries);
        self.answer(&self.mute_about_entries).await
    }

    async fn answer(&self, mute: &AtomicUsize) -> Response<Body> {
        if counted_down(mute) {
            self.taken.notify_one();
            std::future::pending::<()>().await;
        }
        answer(Code::Ok)
    }
}

struct World {
    issuer: Issuer,
    token: String,
    fake: Arc<Fake>,
    tasks: Tasks,
    ledger: Ledger,
}

fn framed(message: &impl Message) -> Bytes {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
    frame.extend(message.encode_to_vec());
    frame.into()
}

fn trailers(code: Code) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", (code as i32).into());
    trailers
}

fn answer(code: Code) -> Response<Body> {
    let body = Full::new(framed(&())).with_trailers(async move { Some(Ok(trailers(code))) });
    Response::new(Body::new(body))
}

/// An answer that begins and goes on for ever.
fn endless() -> Response<Body> {
    let first = futures::stream::iter([Ok::<_, Status>(Frame::data(framed(&())))]);
    let body = futures::StreamExt::chain(first, futures::stream::pending());
    Response::new(Body::new(StreamBody::new(body)))
}

/// Has each thread log somewhere: what the first one without a log passes over would else be in nobody's.
fn log_somewhere() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_writer(std::io::sink)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

impl World {
    fn start() -> Self {
        log_somewhere();
        let (issuer, fake, tasks) = (
            Issuer::ephemeral().unwrap(),
            Arc::<Fake>::default(),
            Tasks::new(),
        );
        let taking = fake.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = taking.clone();
            async move {
                let usage = request.uri().path().ends_with("/BatchRecordUsage");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Ok(if usage {
                    fake.take_usage(&body[5..]).await
                } else {
                    fake.take_entries(&body[5..]).await
                })
            }
        });
        let way = Link::local(
            BoxCloneSyncService::new(service),
            TokenSource::fixed("service").unwrap(),
        );
        let options = Options {
            clock: Arc::new(SystemClock),
            trusted_hops: 0,
        };
        let ledger = Ledger::start(&tasks, &way, options);
        let lifetime = Duration::from_secs(600);
        let (token, _) = issuer.issue("ada", Role::Administrator, lifetime).unwrap();
        Self {
            issuer,
            token,
            fake,
            tasks,
            ledger,
        }
    }

    /// A service that answers alike, behind the check.
    fn serving(&self, answer: fn() -> Response<Body>) -> Served {
        let service =
            tower::service_fn(move |_: Request<Body>| async move { Ok::<_, Infallible>(answer()) });
        let layer = AuthLayer::inside(self.issuer.verifier(), None).recorded(self.ledger.clone());
        BoxCloneSyncService::new(layer.layer(service))
    }

    fn request(&self, path: &str, message: &impl Message) -> Request<Body> {
        Request::post(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("x-request-id", "r-1")
            .body(Body::new(Full::new(framed(message))))
            .unwrap()
    }

    fn create(&self, parent: &str) -> Request<Body> {
        let message = CreateDatasetRequest {
            parent: parent.into(),
            ..Default::default()
        };
        self.request(CREATE, &message)
    }

    fn get(&self, name: &str) -> Request<Body> {
        self.request(GET, &GetDatasetRequest { name: name.into() })
    }

    /// What was stored: who, code, verdict.
    async fn stored(&self) -> Vec<(String, i32, AuditVerdict)> {
        self.ledger.flush().await;
        let entries = self.fake.entries.lock();
        let seen = entries
            .iter()
            .map(|e| (e.subject.clone(), e.code, e.verdict()));
        seen.collect()
    }
}

async fn whole(served: Served, request: Request<Body>) {
    let answer = served.oneshot(request).await.unwrap();
    let _ = answer.into_body().collect().await;
}

fn ada(code: Code, verdict: AuditVerdict) -> (String, i32, AuditVerdict) {
    ("ada".into(), code as i32, verdict)
}

#[tokio::test]
async fn the_code_is_that_of_the_end_of_the_answer() {
    let world = World::start();
    whole(
        world.serving(|| answer(Code::Ok)),
        world.create("projects/p"),
    )
    .await;
    whole(
        world.serving(|| answer(Code::NotFound)),
        world.create("projects/p"),
    )
    .await;
    let at_once = || Status::permission_denied("no").into_http();
    whole(world.serving(at_once), world.get("projects/p/datasets/d")).await;
    whole(
        world.serving(|| answer(Code::NotFound)),
        world.get("projects/p/datasets/d"),
    )
    .await;
    let expected = [
        ada(Code::Ok, AuditVerdict::Allowed),
        ada(Code::NotFound, AuditVerdict::Failed),
        ada(Code::PermissionDenied, AuditVerdict::Denied),
    ];
    assert_eq!(world.stored().await, expected);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_may_have_been_carried_out() {
    let world = World::start();
    let begun = world
        .serving(endless)
        .oneshot(world.create("projects/p"))
        .await
        .unwrap();
    let mut body = begun.into_body();
    body.frame().await.unwrap().unwrap();
    assert!(world.stored().await.is_empty(), "it goes on");
    drop(body);
    let never = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let layer = AuthLayer::inside(world.issuer.verifier(), None).recorded(world.ledger.clone());
    let mut call = layer.layer(never).oneshot(world.create("projects/p"));
    assert!(futures::poll!(&mut call).is_pending());
    drop(call);
    let cancelled = ada(Code::Cancelled, AuditVerdict::Allowed);
    assert_eq!(world.stored().await, [cancelled.clone(), cancelled]);
}

#[tokio::test(start_paused = true)]
async fn while_metadata_is_away_entries_wait_for_it_and_are_stored_once() {
    let world = World::start();
    world.fake.away.store(5, Ordering::SeqCst);
    for _ in 0..1200 {
        whole(
            world.serving(|| answer(Code::Ok)),
            world.create("projects/p"),
        )
        .await;
    }
    assert_eq!(world.stored().await.len(), 1200);
    let ids: std::collections::BTreeSet<_> = world
        .fake
        .entries
        .lock()
        .iter()
        .map(|entry| entry.id.clone())
        .collect();
    assert_eq!(ids.len(), 1200);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_in_the_log_only_which_says_how_much_that_is() {
    let log = Log::default();
    let _guard = log.listen(tracing::Level::WARN);
    let world = World::start();
    world.fake.away.store(usize::MAX, Ordering::SeqCst);
    for _ in 0..11_000 {
        whole(
            world.serving(|| answer(Code::Ok)),
            world.create("projects/p"),
        )
        .await;
    }
    world.fake.away.store(0, Ordering::SeqCst);
    let stored = world.stored().await.len();
    assert!((10_000..11_000).contains(&stored), "{stored}");
    let missed = format!("missed={}", 11_000 - stored);
    assert!(log.text().contains(&missed), "{missed}: {}", log.text());
}

#[tokio::test]
async fn what_waits_at_the_end_is_stored() {
    let world = World::start();
    whole(
        world.serving(|| answer(Code::Ok)),
        world.create("projects/p"),
    )
    .await;
    assert!(world.tasks.drain(Duration::from_secs(10)).await);
    assert_eq!(world.fake.entries.lock().len(), 1);
    // Nobody waits for one that has ended.
    world.ledger.flush().await;
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(text)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Takes what this thread logs.
    fn listen(&self, level: tracing::Level) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let text = self.text();
        let of_audit = text.lines().filter(|line| line.contains(" audit: "));
        of_audit.map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn the_log_says_who_did_what_and_no_secret() {
    let log = Log::default();
    let _guard = log.listen(tracing::Level::DEBUG);
    let world = World::start();
    let served = || world.serving(|| answer(Code::Ok));
    whole(served(), world.create("projects/p")).await;
    whole(served(), world.get("projects/p/datasets/d")).await;
    let signed = "projects/p/datasets/d?X-Amz-Signature=0123456789abcdef&X-Amz-Credential=me";
    whole(served(), world.create(signed)).await;
    let token = world.token.clone();
    whole(
        served(),
        world.create(&format!("projects/p/datasets/{token}")),
    )
    .await;
    whole(served(), world.create(&token)).await;
    let mut wrong = world.create("projects/p");
    wrong
        .headers_mut()
        .insert("authorization", format!("Bearer {token}x").parse().unwrap());
    whole(served(), wrong).await;

    let lines = log.lines();
    assert_eq!(lines.len(), 6, "{}", log.text());
    let first = &lines[0];
    for part in [
        "INFO",
        "subject=\"ada\"",
        "method=\"granary.metadata.v1.DatasetService/CreateDataset\"",
        "resource=\"projects/p\"",
        "verdict=Allowed",
        "code=0",
        "latency_us=",
        "request_id=\"r-1\"",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert!(
        lines[1].contains("DEBUG") && lines[1].contains("GetDataset"),
        "{}",
        lines[1]
    );
    assert!(
        lines[5].contains("verdict=Denied") && lines[5].contains("code=16"),
        "{}",
        lines[5]
    );
    let signature = token.rsplit('.').next().unwrap();
    for secret in ["X-Amz", "0123456789abcdef", signature] {
        assert!(!log.text().contains(secret), "{secret}: {}", log.text());
    }
    world.ledger.flush().await;
    let stored = format!("{:?}", world.fake.entries.lock());
    assert!(
        !stored.contains(signature) && !stored.contains("X-Amz"),
        "{stored}"
    );
}

#[tokio::test]
async fn reads_are_not_looked_at_unless_somebody_asks() {
    let log = Log::default();
    let _guard = log.listen(tracing::Level::INFO);
    let world = World::start();
    whole(
        world.serving(|| answer(Code::Ok)),
        world.get("projects/p/datasets/d"),
    )
    .await;
    assert!(log.lines().is_empty(), "{}", log.text());
    assert!(world.stored().await.is_empty());
}
