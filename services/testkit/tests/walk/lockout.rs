//! Whoever loses the right to something loses it within 10 seconds, in every service, and what runs ends.

use std::time::{Duration, Instant};

use granary_proto::{
    identity::v1::{
        ApiKey, CreateApiKeyRequest, DeleteMemberRequest, ExchangeApiKeyRequest,
        ListApiKeysRequest, ListMembersRequest, ProjectRole, RevokeApiKeyRequest,
        api_key_service_client::ApiKeyServiceClient, member_service_client::MemberServiceClient,
        token_service_client::TokenServiceClient,
    },
    job::v1::{
        AcquireJobsRequest, Job, ListJobsRequest, RegisterWorkerRequest, StreamJobLogsRequest,
        StreamJobLogsResponse, WatchJobRequest, Worker, job_service_client::JobServiceClient,
        worker_service_client::WorkerServiceClient,
    },
    metadata::v1::{
        ListDatasetsRequest, WatchEventsRequest, WatchEventsResponse,
        dataset_service_client::DatasetServiceClient, event_service_client::EventServiceClient,
    },
    pipeline::v1::{ListRunsRequest, run_service_client::RunServiceClient},
    storage::v1::{BatchCreateDownloadsRequest, download_service_client::DownloadServiceClient},
};
use granary_runtime::{Link, auth::TokenSource};
use tonic::{Code, Streaming, transport::Endpoint};

use crate::{
    workers::{MUCH, queue},
    world::{PROJECT, World},
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

async fn watch(way: &Link) -> Streaming<WatchEventsResponse> {
    let request = WatchEventsRequest {
        parent: parent(),
        ..WatchEventsRequest::default()
    };
    let events = EventServiceClient::new(way.clone())
        .watch_events(request)
        .await;
    events.unwrap().into_inner()
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

/// What runs of a job that waits.
async fn watch_job(way: &Link) -> (Streaming<Job>, Streaming<StreamJobLogsResponse>) {
    let (mut jobs, name) = (
        JobServiceClient::new(way.clone()),
        format!("{}/jobs/j", parent()),
    );
    let states = jobs.watch_job(WatchJobRequest { name: name.clone() }).await;
    let request = StreamJobLogsRequest {
        name,
        follow: true,
        ..StreamJobLogsRequest::default()
    };
    let logs = jobs.stream_job_logs(request).await;
    (states.unwrap().into_inner(), logs.unwrap().into_inner())
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
    let eve = link(&world, &world.token("eve", None)).await;
    assert_eq!(told_by_each(&eve).await, [Code::Ok; 4]);
    queue(&world, &[PROJECT]).await;
    let events = watch(&eve).await;
    let (states, logs) = watch_job(&eve).await;
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
    assert_eq!(until_it_ends(events).await, Code::NotFound);
    assert_eq!(until_it_ends(states).await, Code::NotFound);
    assert_eq!(until_it_ends(logs).await, Code::NotFound);
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
    let events = watch(&machine).await;
    let name = made.api_key.unwrap().name;
    let revoked = Instant::now();
    keys.revoke_api_key(RevokeApiKeyRequest { name })
        .await
        .unwrap();
    let refused = tokens.exchange_api_key(exchange).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(until_it_ends(events).await, Code::NotFound);
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
            heartbeat_time: None,
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
