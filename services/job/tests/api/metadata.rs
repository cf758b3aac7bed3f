//! A Metadata service that has what a test puts into it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use granary_core::Error;
use granary_proto::{
    identity::v1::{
        BatchRecordUsageRequest, BatchRecordUsageResponse, GetQuotaRequest, Quota, UsageRecord,
    },
    metadata::v1::{
        Asset, AssetState, CreateSnapshotRequest, GetAssetRequest, GetSessionRequest,
        GetSnapshotRequest, Session, SessionState, Snapshot,
    },
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    rpc::to_status,
};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{Semaphore, watch};
use tonic::{Status, body::Body};
use tower::{Layer as _, util::BoxCloneSyncService};

/// What there is, and what was asked to be frozen.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) sessions: Mutex<BTreeMap<String, SessionState>>,
    pub(crate) assets: Mutex<BTreeMap<String, AssetState>>,
    pub(crate) snapshots: Mutex<Vec<String>>,
    /// Snapshots by request.
    pub(crate) frozen: Mutex<BTreeMap<String, String>>,
    /// The limits of projects, by the names of their quotas.
    pub(crate) quotas: Mutex<BTreeMap<String, Quota>>,
    /// What was told of usage, in order.
    pub(crate) recorded: Mutex<Vec<UsageRecord>>,
    /// Whether the next answer to that is lost.
    pub(crate) forgets_to_answer: AtomicBool,
    /// Whether it takes nothing of that, while it answers what is asked.
    pub(crate) takes_no_records: AtomicBool,
    /// The questions that came.
    asked: watch::Sender<Vec<String>>,
    /// A method that is answered only as often as there are permits.
    held: Mutex<Option<(&'static str, Arc<Semaphore>)>>,
}

/// A way to it.
pub(crate) fn link(fake: Arc<Fake>, issuer: &Issuer) -> Link {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let fake = fake.clone();
        async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            fake.admit(&method).await;
            Ok(fake
                .answer(&method, &body[5..])
                .map_or_else(Status::into_http, framed))
        }
    });
    let served =
        BoxCloneSyncService::new(AuthLayer::inside(issuer.verifier(), None).layer(service));
    Link::local(
        served,
        TokenSource::renewed(issuer.clone(), "service:job", Role::Service),
    )
}

// A message of gRPC: no compression, length, bytes; the status may go before it.
fn framed(message: Vec<u8>) -> http::Response<Body> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let body =
        Full::new(bytes::Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    http::Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(body))
        .unwrap()
}

fn decode<M: Message + Default>(body: &[u8]) -> M {
    M::decode(body).unwrap()
}

impl Fake {
    /// Answers a method only as often as the caller gives permits.
    pub(crate) fn hold(&self, method: &'static str) -> Arc<Semaphore> {
        let permits = Arc::new(Semaphore::new(0));
        *self.held.lock() = Some((method, permits.clone()));
        permits
    }

    /// Waits until a method was asked for so many times.
    pub(crate) async fn asked(&self, method: &str, times: usize) {
        let count = |asked: &Vec<String>| asked.iter().filter(|one| *one == method).count();
        let mut asked = self.asked.subscribe();
        asked.wait_for(|asked| count(asked) >= times).await.unwrap();
    }

    /// How many times a method was asked for.
    pub(crate) fn times(&self, method: &str) -> usize {
        let asked = self.asked.borrow();
        asked.iter().filter(|one| *one == method).count()
    }

    async fn admit(&self, method: &str) {
        self.asked
            .send_modify(|asked| asked.push(method.to_owned()));
        let held = self.held.lock().clone();
        if let Some((_, permits)) = held.filter(|(held, _)| *held == method) {
            permits.acquire().await.unwrap().forget();
        }
    }

    fn quota(&self, name: &str) -> Option<Quota> {
        let found = self.quotas.lock().get(name).cloned();
        let default = name.strip_suffix("/quota") == Some(crate::world::PARENT);
        let quota = found.or_else(|| default.then(Quota::default))?;
        Some(Quota {
            name: name.to_owned(),
            ..quota
        })
    }

    fn take(&self, records: Vec<UsageRecord>) -> Result<Vec<u8>, Status> {
        let names = records.iter().map(|one| format!("{}/quota", one.project));
        let names: BTreeSet<String> = names.collect();
        let quotas = names.iter().filter_map(|name| self.quota(name)).collect();
        // One that counts nothing only asks.
        let telling = records.into_iter().filter(|one| one.job_seconds > 0);
        let telling: Vec<_> = telling.collect();
        if !telling.is_empty() {
            if self.takes_no_records.load(Ordering::Relaxed) {
                return Err(Status::unavailable("it takes nothing"));
            }
            self.recorded.lock().extend(telling);
            if self.forgets_to_answer.swap(false, Ordering::Relaxed) {
                return Err(Status::unavailable("the answer was lost"));
            }
        }
        Ok(BatchRecordUsageResponse { quotas }.encode_to_vec())
    }

    fn answer(&self, method: &str, body: &[u8]) -> Result<Vec<u8>, Status> {
        let missing = |name: &str| to_status(Error::not_found(name));
        match method {
            "GetQuota" => {
                let name = decode::<GetQuotaRequest>(body).name;
                let quota = self.quota(&name).ok_or_else(|| missing(&name))?;
                Ok(quota.encode_to_vec())
            }
            "BatchRecordUsage" => self.take(decode::<BatchRecordUsageRequest>(body).records),
            "GetSession" => {
                let name = decode::<GetSessionRequest>(body).name;
                let state = self
                    .sessions
                    .lock()
                    .get(&name)
                    .copied()
                    .ok_or_else(|| missing(&name))?;
                Ok(Session {
                    name,
                    state: state.into(),
                    ..Session::default()
                }
                .encode_to_vec())
            }
            "GetAsset" => {
                let name = decode::<GetAssetRequest>(body).name;
                let state = self
                    .assets
                    .lock()
                    .get(&name)
                    .copied()
                    .ok_or_else(|| missing(&name))?;
                let dataset = name.split_once("/assets/").unwrap().0;
                Ok(Asset {
                    session: format!("{dataset}/sessions/s"),
                    name,
                    state: state.into(),
                    ..Asset::default()
                }
                .encode_to_vec())
            }
            "GetSnapshot" => {
                let name = decode::<GetSnapshotRequest>(body).name;
                if self.snapshots.lock().contains(&name) {
                    Ok(Snapshot {
                        name,
                        ..Snapshot::default()
                    }
                    .encode_to_vec())
                } else {
                    Err(missing(&name))
                }
            }
            "CreateSnapshot" => {
                let request = decode::<CreateSnapshotRequest>(body);
                let mut frozen = self.frozen.lock();
                let number = frozen.len();
                let name = frozen
                    .entry(request.request_id)
                    .or_insert_with(|| format!("{}/snapshots/s{number}", request.parent));
                Ok(Snapshot {
                    name: name.clone(),
                    ..Snapshot::default()
                }
                .encode_to_vec())
            }
            other => panic!("nobody asks Metadata for {other}"),
        }
    }
}
