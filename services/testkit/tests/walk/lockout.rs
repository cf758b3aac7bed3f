//! Whoever loses the right to something loses it within 10 seconds, in every service, and what runs ends.

use std::time::{Duration, Instant};

use futures::future::join_all;
use granary_proto::{
    identity::v1::{
        ApiKey, CreateApiKeyRequest, DeleteMemberRequest, ExchangeApiKeyRequest,
        ListApiKeysRequest, ListMembersRequest, ProjectRole, RevokeApiKeyRequest,
        api_key_service_client::ApiKeyServiceClient, member_service_client::MemberServiceClient,
        token_service_client::TokenServiceClient,
    },
    job::v1::{
        AcquireJobsRequest, ListJobsRequest, RegisterWorkerRequest, Worker,
        job_service_client::JobServiceClient, worker_service_client::WorkerServiceClient,
    },
    metadata::v1::{ListDatasetsRequest, dataset_service_client::DatasetServiceClient},
    pipeline::v1::{ListRunsRequest, run_service_client::RunServiceClient},
    prost_reflect::{MethodDescriptor, Value},
    storage::v1::{BatchCreateDownloadsRequest, download_service_client::DownloadServiceClient},
};
use granary_runtime::{Link, auth::TokenSource};
use prost::{Message as _, bytes::Bytes};
use sea_orm::{ConnectionTrait as _, Database};
use tonic::{Code, Streaming, transport::Endpoint};

use crate::{
    names::naming,
    workers::{MUCH, queue},
    world::{PROJECT, World, path},
};

/// In words: 10 seconds.
const SOON: Duration = Duration::from_secs(10);

async fn link(world: &World, token: &str) -> Link {
    let endpoint = Endpoint::from_shared(world.node.endpoint()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    Link::remote(channel, TokenSource::fixed(token).unwrap())
}

fn parent() -> String {
    format!("projects/{PROJECT}")
}

/// What each service says to a call about the project.
async fn told_by_each(way: &Link) -> Vec<Code> {
    let metadata = DatasetServiceClient::new(way.clone())
        .list_datasets(ListDatasetsRequest {
            parent: parent(),
            ..ListDatasetsRequest::default()
        })
        .await
        .map(drop);
    let storage = DownloadServiceClient::new(way.clone())
        .batch_create_downloads(BatchCreateDownloadsRequest {
            parent: parent(),
            assets: vec![format!("{}/datasets/d/assets/{}", parent(), "a".repeat(26))],
        })
        .await
        .map(drop);
    let pipeline = RunServiceClient::new(way.clone())
        .list_runs(ListRunsRequest {
            parent: parent(),
            ..ListRunsRequest::default()
        })
        .await
        .map(drop);
    let job = JobServiceClient::new(way.clone())
        .list_jobs(ListJobsRequest {
            parent: parent(),
            ..ListJobsRequest::default()
        })
        .await
        .map(drop);
    let hidden = format!("{} not found", parent());
    [metadata, storage, pipeline, job]
        .into_iter()
        .map(|answer| match answer {
            Err(status) if status.message() == hidden => Code::NotFound,
            // Whatever it is, it let the call in.
            _ => Code::Ok,
        })
        .collect()
}

/// What streams are about: a job and a run that wait.
async fn wait_for_ever(world: &World) {
    queue(world, &[PROJECT]).await;
    // As another process would have queued it, which never takes it.
    let file = world.node.folder().join("data/db/pipeline.db");
    let database = Database::connect(format!("sqlite://{}", file.display()));
    let run = format!(
        "INSERT INTO runs VALUES ('r', '{PROJECT}', 'p', 1, '{}/datasets/raw/sessions/s', 1, 0, 0, 0, 0, 0, '', 1, 0, 0, '')",
        parent()
    );
    let database = database.await.unwrap();
    database.execute_unprepared(&run).await.unwrap();
    database.close().await.unwrap();
}

/// Every stream of every service, as reflection tells them. One that is about something else is not there, which fails: have it wait for ever too.
async fn follow_all(world: &World, token: &str) -> Vec<(String, Streaming<Bytes>)> {
    let mut streams = Vec::new();
    let methods = world.methods().await.into_iter();
    for method in methods.filter(MethodDescriptor::is_server_streaming) {
        let mut request = naming(&method);
        if method.input().get_field_by_name("follow").is_some() {
            request.set_field_by_name("follow", Value::Bool(true));
        }
        let path = path(&method);
        let stream = world.follow(&path, request.encode_to_vec(), Some(token));
        let stream = stream
            .await
            .unwrap_or_else(|status| panic!("{path}: {status:?}"));
        streams.push((path, stream));
    }
    assert!(streams.len() >= 4, "reflection tells them all");
    streams
}

/// Each of them ends, since its caller is no member any more.
async fn all_end(streams: Vec<(String, Streaming<Bytes>)>) {
    let ends = streams.into_iter().map(async |(path, stream)| {
        assert_eq!(until_it_ends(stream).await, Code::NotFound, "{path}");
    });
    join_all(ends).await;
}

async fn until_it_ends<T>(mut events: Streaming<T>) -> Code {
    let ended = async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Code::Ok,
                Err(status) => return status.code(),
            }
        }
    };
    tokio::time::timeout(SOON, ended)
        .await
        .expect("the stream goes on")
}

#[tokio::test]
async fn a_removed_member_is_locked_out_of_everything_that_runs_too() {
    let world = World::start().await;
    world.member(PROJECT, "eve", ProjectRole::Viewer).await;
    let token = world.token("eve", None);
    let eve = link(&world, &token).await;
    assert_eq!(told_by_each(&eve).await, [Code::Ok; 4]);
    wait_for_ever(&world).await;
    let streams = follow_all(&world, &token).await;
    let mut members = MemberServiceClient::new(world.node.link());
    let list = ListMembersRequest {
        parent: parent(),
        ..ListMembersRequest::default()
    };
    let all = members
        .list_members(list)
        .await
        .unwrap()
        .into_inner()
        .members;
    let name = all
        .into_iter()
        .find(|member| member.subject == "eve")
        .unwrap()
        .name;
    let removed = Instant::now();
    members
        .delete_member(DeleteMemberRequest { name })
        .await
        .unwrap();
    all_end(streams).await;
    assert!(removed.elapsed() < SOON);
    assert_eq!(told_by_each(&eve).await, [Code::NotFound; 4]);
}

#[tokio::test]
async fn a_revoked_key_is_locked_out_with_the_tokens_it_was_exchanged_for() {
    let world = World::start().await;
    let mut keys = ApiKeyServiceClient::new(world.node.link());
    let key = ApiKey {
        role: ProjectRole::Editor.into(),
        ..ApiKey::default()
    };
    let request = CreateApiKeyRequest {
        parent: parent(),
        api_key: Some(key),
    };
    let made = keys.create_api_key(request).await.unwrap().into_inner();
    let exchange = ExchangeApiKeyRequest {
        secret: made.secret,
    };
    let endpoint = Endpoint::from_shared(world.node.endpoint()).unwrap();
    let mut tokens = TokenServiceClient::new(endpoint.connect().await.unwrap());
    let token = tokens
        .exchange_api_key(exchange.clone())
        .await
        .unwrap()
        .into_inner()
        .token;
    let machine = link(&world, &token).await;
    assert_eq!(told_by_each(&machine).await, [Code::Ok; 4]);
    wait_for_ever(&world).await;
    let streams = follow_all(&world, &token).await;
    let name = made.api_key.unwrap().name;
    let revoked = Instant::now();
    keys.revoke_api_key(RevokeApiKeyRequest { name })
        .await
        .unwrap();
    let refused = tokens.exchange_api_key(exchange).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    all_end(streams).await;
    assert!(revoked.elapsed() < SOON);
    assert_eq!(told_by_each(&machine).await, [Code::NotFound; 4]);
}

#[tokio::test]
async fn a_revoked_key_gets_no_job_from_a_call_that_still_waits() {
    let world = World::start().await;
    let mut keys = ApiKeyServiceClient::new(world.node.link());
    let worker = link(&world, &world.key(ProjectRole::Worker).await).await;
    let mut workers = WorkerServiceClient::new(worker);
    let registration = RegisterWorkerRequest {
        worker: Some(Worker {
            name: "workers/truck".into(),
            resources: Some(MUCH),
            ..Worker::default()
        }),
    };
    workers.register_worker(registration).await.unwrap();
    let acquire = AcquireJobsRequest {
        name: "workers/truck".into(),
        max_jobs: 1,
        free: Some(MUCH),
        wait: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..AcquireJobsRequest::default()
    };
    let revoke = async {
        let list = ListApiKeysRequest {
            parent: parent(),
            ..ListApiKeysRequest::default()
        };
        let made = keys.list_api_keys(list).await.unwrap().into_inner();
        let name = made.api_keys[0].name.clone();
        let request = RevokeApiKeyRequest { name };
        keys.revoke_api_key(request).await.unwrap();
    };
    let waiting = tokio::time::timeout(SOON, workers.acquire_jobs(acquire));
    let (ended, ()) = tokio::join!(waiting, revoke);
    let answer = ended.expect("it still waits");
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);
}
