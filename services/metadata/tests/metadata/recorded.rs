//! What a ledger in front of the service makes of calls: who did what, and how many there were.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use granary_proto::{
    identity::v1::{
        ApiKey, AuditEntry, AuditVerdict, CreateApiKeyRequest, CreateApiKeyResponse,
        ExchangeApiKeyRequest, ListAuditEntriesRequest, ProjectRole, Quota,
        token_service_client::TokenServiceClient,
    },
    metadata::v1::{
        CreateDatasetRequest, CreateProjectRequest, GetDatasetRequest, GetProjectRequest,
        WatchEventsRequest, dataset_service_client::DatasetServiceClient,
        event_service_client::EventServiceClient, project_service_client::ProjectServiceClient,
    },
};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Role, TokenSource},
    ledger::{self, Ledger},
    server::protect,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    audit::{list, of},
    members,
    usage::{days, quota, set},
    world::{DATASET, World, refused},
};

impl World {
    /// The service with a ledger that records its calls, as who a token stands for.
    pub(crate) fn link_recorded(&self, token: TokenSource, ledger: &Ledger) -> Link {
        let auth = AuthLayer::inside(self.issuer.verifier(), Some(self.directory()));
        let auth = auth.recorded(ledger.clone());
        Link::local(protect(self.routes.clone(), &auth), token)
    }

    /// A ledger of its own, as each process has one.
    pub(crate) fn ledger(&self) -> Ledger {
        let options = ledger::Options {
            clock: Arc::new(self.clock.clone()),
            trusted_hops: 0,
        };
        Ledger::start(&self.tasks, &self.unchecked("service:ledger"), options)
    }
}

/// A token of a member that is made one.
pub(crate) async fn member_token(
    world: &World,
    project: &str,
    subject: &str,
    role: ProjectRole,
) -> TokenSource {
    members::add(world, project, world.issuer.name(), subject, role).await;
    token(world, subject, None)
}

pub(crate) fn token(world: &World, subject: &str, role: Option<Role>) -> TokenSource {
    let lifetime = Duration::from_secs(600);
    TokenSource::fixed(&world.issuer.issue(subject, role, lifetime).unwrap().0).unwrap()
}

/// The calls that entries tell of, without their services, the oldest first.
pub(crate) fn calls(entries: &[AuditEntry]) -> Vec<(&str, &str, AuditVerdict, &str)> {
    let seen = entries.iter().rev().filter_map(|entry| {
        let (_, method) = entry.method.split_once('/')?;
        Some((
            entry.subject.as_str(),
            method,
            entry.verdict(),
            entry.resource.as_str(),
        ))
    });
    seen.collect()
}

pub(crate) async fn create_dataset(link: &Link, parent: &str, id: &str) -> Result<(), Status> {
    let request = CreateDatasetRequest {
        parent: parent.into(),
        dataset_id: id.into(),
        ..CreateDatasetRequest::default()
    };
    DatasetServiceClient::new(link.clone())
        .create_dataset(request)
        .await
        .map(drop)
}

async fn get_dataset(link: &Link) -> Result<(), Status> {
    let request = GetDatasetRequest {
        name: DATASET.into(),
    };
    DatasetServiceClient::new(link.clone())
        .get_dataset(request)
        .await
        .map(drop)
}

#[tokio::test]
async fn changes_and_refusals_are_kept_and_reads_are_not() {
    for world in World::each().await {
        let ledger = world.ledger();
        let viewer = member_token(&world, "projects/default", "vera", ProjectRole::Viewer).await;
        let viewer = world.link_recorded(viewer, &ledger);
        let ada = world.link_recorded(token(&world, "ada", Some(Role::Administrator)), &ledger);
        let stranger = world.link_recorded(token(&world, "eve", None), &ledger);
        let nobody = world.link_recorded(TokenSource::fixed("nonsense").unwrap(), &ledger);

        create_dataset(&ada, "projects/default", "new")
            .await
            .unwrap();
        get_dataset(&ada).await.unwrap();
        get_dataset(&viewer).await.unwrap();
        refused(
            create_dataset(&viewer, "projects/default", "x").await,
            Code::PermissionDenied,
        );
        refused(get_dataset(&stranger).await, Code::NotFound);
        refused(
            create_dataset(&ada, "projects/default", "new").await,
            Code::AlreadyExists,
        );
        refused(
            create_dataset(&nobody, "projects/default", "x").await,
            Code::Unauthenticated,
        );
        ledger.flush().await;

        use AuditVerdict::{Allowed, Denied, Failed};
        let kept = list(&world, of("projects/default")).await.unwrap();
        let expected = [
            (
                "ada",
                "CreateDataset",
                Allowed,
                "projects/default/datasets/new",
            ),
            ("vera", "CreateDataset", Denied, "projects/default"),
            ("eve", "GetDataset", Denied, DATASET),
            ("ada", "CreateDataset", Failed, "projects/default"),
        ];
        assert_eq!(sorted(calls(&kept)), sorted(expected.into()));
        let all = list(&world, of("projects/-")).await.unwrap();
        assert_eq!(all.len(), 5);
        let denied = ListAuditEntriesRequest {
            verdict: Denied.into(),
            ..of("projects/-")
        };
        let unknown = list(&world, denied).await.unwrap();
        let unknown = unknown
            .iter()
            .find(|entry| entry.subject.is_empty())
            .unwrap();
        assert_eq!(
            (unknown.code, unknown.issuer.as_str()),
            (Code::Unauthenticated as i32, "")
        );
        let created = kept
            .iter()
            .find(|entry| entry.verdict() == Allowed)
            .unwrap();
        assert_eq!(created.issuer, world.issuer.name());
        assert_eq!(
            created.method,
            "granary.metadata.v1.DatasetService/CreateDataset"
        );
        assert!(created.latency.is_some() && created.time.is_some());
    }
}

// Calls within a millisecond of a clock that stands have no order of their own.
pub(crate) fn sorted<T: Ord + Copy>(
    mut calls: Vec<(T, T, AuditVerdict, T)>,
) -> Vec<(T, T, AuditVerdict, T)> {
    calls.sort_by_key(|(who, what, verdict, about)| (*who, *what, *verdict as i32, *about));
    calls
}

#[tokio::test]
async fn a_call_without_a_project_is_kept_with_what_it_names() {
    for world in World::each().await {
        let ledger = world.ledger();
        let ada = world.link_recorded(token(&world, "ada", Some(Role::Administrator)), &ledger);
        let bob = world.link_recorded(token(&world, "bob", None), &ledger);
        let create = async |link: &Link| {
            let request = CreateProjectRequest {
                project_id: "lab".into(),
                ..Default::default()
            };
            ProjectServiceClient::new(link.clone())
                .create_project(request)
                .await
        };
        refused(create(&bob).await, Code::PermissionDenied);
        create(&ada).await.unwrap();
        ledger.flush().await;
        let kept = list(&world, of("projects/lab")).await.unwrap();
        let seen = sorted(calls(&kept));
        let expected = [
            (
                "ada",
                "CreateProject",
                AuditVerdict::Allowed,
                "projects/lab",
            ),
            ("bob", "CreateProject", AuditVerdict::Denied, "projects/lab"),
        ];
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn services_are_kept_with_those_for_whom_they_work_and_else_not_at_all() {
    for world in World::each().await {
        let ledger = world.ledger();
        let service =
            world.link_recorded(token(&world, "service:job", Some(Role::Service)), &ledger);
        create_dataset(&service, "projects/default", "own")
            .await
            .unwrap();
        let mut projects = ProjectServiceClient::new(service);
        let nowhere = GetProjectRequest {
            name: "projects/nowhere".into(),
        };
        refused(projects.get_project(nowhere).await, Code::NotFound);
        ledger.flush().await;
        assert!(list(&world, of("projects/-")).await.unwrap().is_empty());
    }
}

pub(crate) async fn new_key(world: &World) -> CreateApiKeyResponse {
    let key = ApiKey {
        role: ProjectRole::Editor.into(),
        ..ApiKey::default()
    };
    let request = CreateApiKeyRequest {
        parent: "projects/default".into(),
        api_key: Some(key),
    };
    let made = world.keys().create_api_key(request).await.unwrap();
    made.into_inner()
}

#[tokio::test]
async fn an_exchanged_key_is_kept_under_its_name_and_a_wrong_one_under_none() {
    for world in World::each().await {
        let ledger = world.ledger();
        let made = new_key(&world).await;
        let name = made.api_key.unwrap().name;
        let link = world.link_recorded(TokenSource::fixed("nothing").unwrap(), &ledger);
        let exchange = async |secret: &str| {
            let request = ExchangeApiKeyRequest {
                secret: secret.into(),
            };
            TokenServiceClient::new(link.clone())
                .exchange_api_key(request)
                .await
        };
        exchange(&made.secret).await.unwrap();
        refused(exchange("granary_wrong").await, Code::Unauthenticated);
        ledger.flush().await;
        let kept = list(&world, of("projects/default")).await.unwrap();
        assert_eq!(
            calls(&kept),
            [(&*name, "ExchangeApiKey", AuditVerdict::Allowed, &*name)]
        );
        let all = list(&world, of("projects/-")).await.unwrap();
        assert_eq!(all.len(), 2);
        assert!(!format!("{all:?}").contains(&made.secret));
    }
}

#[tokio::test]
async fn no_secret_gets_into_an_entry() {
    for world in World::each().await {
        let ledger = world.ledger();
        let lifetime = Duration::from_secs(600);
        let (secret, _) = world
            .issuer
            .issue("ada", Role::Administrator, lifetime)
            .unwrap();
        let link = world.link_recorded(TokenSource::fixed(&secret).unwrap(), &ledger);
        let url = "projects/default/datasets/raw?X-Amz-Signature=0123456789abcdef";
        let key = new_key(&world).await.secret;
        let revoked = format!("projects/default/apiKeys/{key}");
        for parent in [
            url,
            &format!("projects/default/{secret}"),
            &secret,
            &revoked,
            &key,
        ] {
            create_dataset(&link, parent, "x").await.unwrap_err();
        }
        ledger.flush().await;
        let all = list(&world, of("projects/-")).await.unwrap();
        assert_eq!(all.len(), 5);
        let text = format!("{all:?}");
        let signature = secret.rsplit('.').next().unwrap();
        assert!(
            !["0123456789abcdef", signature, &key]
                .iter()
                .any(|secret| text.contains(secret)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_its_caller_is_no_failure() {
    for world in World::each().await {
        let ledger = world.ledger();
        let ada = world.link_recorded(token(&world, "ada", Some(Role::Administrator)), &ledger);
        let request = WatchEventsRequest {
            parent: "projects/default".into(),
            ..Default::default()
        };
        let mut stream = EventServiceClient::new(ada)
            .watch_events(request)
            .await
            .unwrap()
            .into_inner();
        stream.message().await.unwrap().unwrap();
        drop(stream);
        ledger.flush().await;
        assert!(list(&world, of("projects/-")).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_was_kept_survives_the_end_of_the_process() {
    for world in World::each().await {
        let ledger: Ledger = world.ledger();
        let ada = world.link_recorded(token(&world, "ada", Some(Role::Administrator)), &ledger);
        create_dataset(&ada, "projects/default", "last")
            .await
            .unwrap();
        drop((ada, ledger));
        // Nobody waits for the batch: the end of the tasks sends it.
        let world = world.restart().await;
        let kept = list(&world, of("projects/default")).await.unwrap();
        assert_eq!(kept.len(), 1);
    }
}
#[tokio::test]
async fn calls_are_counted_for_their_project_and_limited() {
    for world in World::each().await {
        world.project("other").await;
        let ledger = world.ledger();
        let owner = |role| TokenSource::renewed(world.issuer.clone(), "ada", role);
        let administrator = world.link_recorded(owner(Role::Administrator), &ledger);
        let call = async |link: &Link, project: &str| {
            let request = GetProjectRequest {
                name: format!("projects/{project}"),
            };
            ProjectServiceClient::new(link.clone())
                .get_project(request)
                .await
        };
        for project in ["default", "default", "other"] {
            call(&administrator, project).await.unwrap();
        }
        // Services work for others, who are counted themselves.
        let service = world.link_recorded(owner(Role::Service), &ledger);
        call(&service, "default").await.unwrap();
        // It is counted although it fails.
        refused(call(&administrator, "nowhere").await, Code::NotFound);
        ledger.flush().await;
        assert_eq!(quota(&world).await.used_daily_requests, 2);
        let listed = days(&world, "", "").await.unwrap();
        assert_eq!(listed[0].requests, 2);
    }
}

#[tokio::test]
async fn a_project_has_the_calls_a_day_that_it_may_have_and_no_more() {
    for world in World::each().await {
        let member = member_token(&world, "projects/default", "bob", ProjectRole::Viewer).await;
        let ledger = world.ledger();
        let link = world.link_recorded(member, &ledger);
        let call = async || {
            let request = GetProjectRequest {
                name: "projects/default".into(),
            };
            ProjectServiceClient::new(link.clone())
                .get_project(request)
                .await
        };
        let limits = Quota {
            max_daily_requests: 10,
            ..Quota::default()
        };
        set(&world, limits, &["max_daily_requests"]).await.unwrap();
        call().await.unwrap();
        ledger.flush().await;
        let results = join_all((0..50).map(|_| call())).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 9);
        let status = results.into_iter().find_map(Result::err).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let retry = status
            .get_details_retry_info()
            .unwrap()
            .retry_delay
            .unwrap();
        assert_eq!(retry.as_secs(), 12 * 3600, "until midnight");
        let quota_of = status.get_details_quota_failure().unwrap().violations;
        assert_eq!(quota_of[0].subject, "projects/default");
        ledger.flush().await;
        assert_eq!(quota(&world).await.used_daily_requests, 10);
        // More is allowed: that is known after the next exchange.
        let limits = Quota {
            max_daily_requests: 11,
            ..Quota::default()
        };
        set(&world, limits, &["max_daily_requests"]).await.unwrap();
        refused(call().await, Code::ResourceExhausted);
        ledger.flush().await;
        call().await.unwrap();
        refused(call().await, Code::ResourceExhausted);
        world.clock.advance(time::Duration::hours(12));
        call().await.unwrap();
    }
}
