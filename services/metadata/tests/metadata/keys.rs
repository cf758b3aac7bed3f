//! API keys, and the tokens that they are exchanged for.

use futures::future::join_all;
use granary_proto::{
    identity::v1::{
        ApiKey, CheckAccessRequest, CreateApiKeyRequest, ExchangeApiKeyRequest,
        ExchangeApiKeyResponse, GetPrincipalRequest, ListApiKeysRequest, ProjectRole,
        RevokeApiKeyRequest, Role as WireRole, api_key_service_client::ApiKeyServiceClient,
        token_service_client::TokenServiceClient,
    },
    metadata::v1::{
        CreateDatasetRequest, ListDatasetsRequest, ListProjectsRequest,
        dataset_service_client::DatasetServiceClient, project_service_client::ProjectServiceClient,
    },
};
use granary_runtime::{Link, auth::TokenSource};
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::world::{World, blamed, refused};

const PROJECT: &str = "projects/default";
/// When the clock of a world starts, in seconds since 1970.
const START: i64 = 1_614_600_000;

fn request(role: ProjectRole, expires: Option<i64>) -> CreateApiKeyRequest {
    let key = ApiKey {
        display_name: "truck 7".into(),
        role: role.into(),
        expire_time: expires.map(|seconds| Timestamp { seconds, nanos: 0 }),
        ..ApiKey::default()
    };
    CreateApiKeyRequest {
        parent: PROJECT.into(),
        api_key: Some(key),
    }
}

async fn create(world: &World, role: ProjectRole, expires: Option<i64>) -> (ApiKey, String) {
    let made = world.keys().create_api_key(request(role, expires)).await;
    let made = made.unwrap().into_inner();
    (made.api_key.unwrap(), made.secret)
}

async fn revoke(world: &World, key: &ApiKey) -> ApiKey {
    let name = key.name.clone();
    let revoked = world
        .keys()
        .revoke_api_key(RevokeApiKeyRequest { name })
        .await;
    revoked.unwrap().into_inner()
}

/// Without a token: the key speaks for itself.
async fn exchange(world: &World, secret: &str) -> Result<ExchangeApiKeyResponse, Status> {
    let nobody = world.link_with(TokenSource::fixed("nothing").unwrap());
    let secret = secret.to_owned();
    let mut client = TokenServiceClient::new(nobody);
    let answer = client
        .exchange_api_key(ExchangeApiKeyRequest { secret })
        .await;
    answer.map(tonic::Response::into_inner)
}

async fn link(world: &World, secret: &str) -> Link {
    let token = exchange(world, secret).await.unwrap().token;
    world.link_with(TokenSource::fixed(&token).unwrap())
}

async fn role(world: &World, project: &str, issuer: &str, key: &ApiKey) -> ProjectRole {
    let question = CheckAccessRequest {
        project: project.into(),
        issuer: issuer.into(),
        subject: key.name.clone(),
        email: String::new(),
    };
    world.role(question).await
}

async fn list(world: &World, page_size: i32, page_token: &str) -> (Vec<ApiKey>, String) {
    let request = ListApiKeysRequest {
        parent: PROJECT.into(),
        page_size,
        page_token: page_token.into(),
    };
    let page = world.keys().list_api_keys(request).await.unwrap();
    let page = page.into_inner();
    (page.api_keys, page.next_page_token)
}

async fn projects(link: Link) -> Vec<String> {
    let mut client = ProjectServiceClient::new(link);
    let found = client.list_projects(ListProjectsRequest::default()).await;
    let found = found.unwrap().into_inner().projects;
    found.into_iter().map(|project| project.name).collect()
}

async fn datasets(link: Link, parent: &str) -> Result<usize, Status> {
    let request = ListDatasetsRequest {
        parent: parent.into(),
        ..Default::default()
    };
    let found = DatasetServiceClient::new(link)
        .list_datasets(request)
        .await?;
    Ok(found.into_inner().datasets.len())
}

#[tokio::test]
async fn a_key_is_exchanged_for_a_token_that_does_what_the_key_may() {
    for world in World::each().await {
        world.project("other").await;
        let (key, secret) = create(&world, ProjectRole::Viewer, None).await;
        assert!(key.name.starts_with("projects/default/apiKeys/"));
        assert!(
            secret.starts_with("granary_") && secret.len() == 65,
            "{}",
            secret.len()
        );
        let link = link(&world, &secret).await;
        let mut client = TokenServiceClient::new(link.clone());
        let who = client
            .get_principal(GetPrincipalRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (&who.subject, &*who.issuer),
            (&key.name, world.issuer.name())
        );
        assert_eq!((who.role(), &*who.email), (WireRole::Unspecified, ""));
        let request = GetPrincipalRequest {
            with_projects: true,
        };
        let who = client.get_principal(request).await.unwrap().into_inner();
        let [place] = &who.projects[..] else {
            panic!("one project: {who:?}");
        };
        assert_eq!(
            (&*place.project, place.role()),
            (PROJECT, ProjectRole::Viewer)
        );
        assert_eq!(datasets(link.clone(), PROJECT).await.unwrap(), 1);
        refused(
            datasets(link.clone(), "projects/other").await,
            Code::NotFound,
        );
        let new = CreateDatasetRequest {
            parent: PROJECT.into(),
            dataset_id: "d".into(),
            ..Default::default()
        };
        let denied = DatasetServiceClient::new(link.clone())
            .create_dataset(new)
            .await;
        refused(denied, Code::PermissionDenied);
        let parent = PROJECT.into();
        let more = ListApiKeysRequest {
            parent,
            ..Default::default()
        };
        let more = ApiKeyServiceClient::new(link.clone())
            .list_api_keys(more)
            .await;
        refused(more, Code::PermissionDenied);
        assert_eq!(projects(link).await, [PROJECT]);
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_key_is_one_answer() {
    let elsewhere = World::each().await;
    let (_, foreign) = create(&elsewhere[0], ProjectRole::Viewer, None).await;
    for world in World::each().await {
        let (key, revoked) = create(&world, ProjectRole::Viewer, None).await;
        revoke(&world, &key).await;
        let (_, expired) = create(&world, ProjectRole::Viewer, Some(START + 60)).await;
        exchange(&world, &expired).await.unwrap();
        world.clock.advance(time::Duration::seconds(60));
        let (_, good) = create(&world, ProjectRole::Viewer, None).await;
        let typo = good.replace("granary_", "granary_x");
        let mut answers = Vec::new();
        for secret in [
            &*revoked,
            &expired,
            &foreign,
            &typo,
            "",
            "granary_",
            &"x".repeat(10_000),
            "gr\u{e4}nary_\0",
        ] {
            answers.push(refused(
                exchange(&world, secret).await,
                Code::Unauthenticated,
            ));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(!answers[0].contains("granary_"), "{answers:?}");
        exchange(&world, &good).await.unwrap();
    }
}

#[tokio::test]
async fn a_revoked_key_is_out_with_the_tokens_that_it_has() {
    for world in World::each().await {
        let (key, secret) = create(&world, ProjectRole::Editor, None).await;
        let token = exchange(&world, &secret).await.unwrap().token;
        let again = || world.link_with(TokenSource::fixed(&token).unwrap());
        assert_eq!(datasets(again(), PROJECT).await.unwrap(), 1);
        let first = revoke(&world, &key).await;
        assert!(first.revoke_time.is_some());
        world.clock.advance(time::Duration::seconds(1));
        assert_eq!(revoke(&world, &key).await, first, "it changes nothing");
        refused(datasets(again(), PROJECT).await, Code::NotFound);
        assert!(projects(again()).await.is_empty());
        let found = role(&world, PROJECT, world.issuer.name(), &key).await;
        assert_eq!(found, ProjectRole::Unspecified);
        let (listed, _) = list(&world, 0, "").await;
        assert_eq!(listed[0].revoke_time, first.revoke_time);
        let name = "projects/default/apiKeys/nowhere".into();
        let nowhere = world
            .keys()
            .revoke_api_key(RevokeApiKeyRequest { name })
            .await;
        refused(nowhere, Code::NotFound);
    }
}

#[tokio::test]
async fn a_key_ends_by_itself_and_its_tokens_before_it() {
    for world in World::each().await {
        let (key, secret) = create(&world, ProjectRole::Worker, Some(START + 300)).await;
        assert_eq!(key.expire_time.unwrap().seconds, START + 300);
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let end = exchange(&world, &secret)
            .await
            .unwrap()
            .expire_time
            .unwrap();
        assert!(
            (295..=305).contains(&(end.seconds - now)),
            "{}",
            end.seconds - now
        );
        let own = world.issuer.name();
        assert_eq!(role(&world, PROJECT, own, &key).await, ProjectRole::Worker);
        world.clock.advance(time::Duration::seconds(300));
        assert_eq!(
            role(&world, PROJECT, own, &key).await,
            ProjectRole::Unspecified
        );
        let (_, secret) = create(&world, ProjectRole::Worker, None).await;
        let end = exchange(&world, &secret)
            .await
            .unwrap()
            .expire_time
            .unwrap();
        assert!(
            (595..=605).contains(&(end.seconds - now)),
            "{}",
            end.seconds - now
        );
    }
}

#[tokio::test]
async fn a_key_counts_only_in_its_project_and_of_the_own_issuer() {
    for world in World::each().await {
        world.project("other").await;
        let (key, _) = create(&world, ProjectRole::Editor, None).await;
        let own = world.issuer.name();
        assert_eq!(role(&world, PROJECT, own, &key).await, ProjectRole::Editor);
        let none = ProjectRole::Unspecified;
        assert_eq!(role(&world, "projects/other", own, &key).await, none);
        assert_eq!(
            role(&world, PROJECT, "https://id.example", &key).await,
            none
        );
        let elsewhere = ApiKey {
            name: key.name.replace("default", "other"),
            ..key
        };
        assert_eq!(role(&world, "projects/other", own, &elsewhere).await, none);
    }
}

#[tokio::test]
async fn the_last_use_is_noted_to_the_minute() {
    for world in World::each().await {
        let (key, secret) = create(&world, ProjectRole::Viewer, None).await;
        assert_eq!(key.last_use_time, None);
        let used = async || {
            let (keys, _) = list(&world, 0, "").await;
            keys[0].last_use_time.map(|time| time.seconds - START)
        };
        for (seconds, expected) in [(0, 0), (30, 0), (29, 0), (2, 60), (600, 660)] {
            world.clock.advance(time::Duration::seconds(seconds));
            exchange(&world, &secret).await.unwrap();
            assert_eq!(used().await, Some(expected));
        }
        world.clock.advance(time::Duration::minutes(5));
        exchange(&world, &format!("{secret}x")).await.unwrap_err();
        assert_eq!(used().await, Some(660), "a failure is no use");
    }
}

#[tokio::test]
async fn hostile_keys_are_refused_by_field() {
    for world in World::each().await {
        let mut client = world.keys();
        let named = |display_name: &str| {
            let mut request = request(ProjectRole::Viewer, None);
            request.api_key.as_mut().unwrap().display_name = display_name.into();
            request
        };
        let none = CreateApiKeyRequest {
            api_key: None,
            ..request(ProjectRole::Viewer, None)
        };
        for (request, field) in [
            (request(ProjectRole::Owner, None), "api_key.role"),
            (request(ProjectRole::Unspecified, None), "api_key.role"),
            (
                request(ProjectRole::Viewer, Some(START)),
                "api_key.expire_time",
            ),
            (
                request(ProjectRole::Viewer, Some(i64::MAX)),
                "api_key.expire_time",
            ),
            (named(&"x".repeat(257)), "api_key.display_name"),
            (named("a\0"), "api_key.display_name"),
            (none, "api_key"),
        ] {
            assert_eq!(blamed(client.create_api_key(request).await), field);
        }
        let nowhere = CreateApiKeyRequest {
            parent: "projects/nowhere".into(),
            ..request(ProjectRole::Viewer, None)
        };
        refused(client.create_api_key(nowhere).await, Code::NotFound);
    }
}

#[tokio::test]
async fn keys_are_listed_oldest_first_and_never_shown_again() {
    for world in World::each().await {
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(create(&world, ProjectRole::Viewer, None).await);
            world.clock.advance(time::Duration::seconds(1));
        }
        let (mut listed, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = list(&world, 2, &token).await;
            listed.extend(page);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        let keys: Vec<_> = made.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(listed, keys);
        if world.kind == "sqlite" {
            let mut stored = Vec::new();
            for file in ["metadata.db", "metadata.db-wal"] {
                stored.extend(std::fs::read(world.folder.path().join(file)).unwrap());
            }
            let holds = |text: &str| {
                stored
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            };
            for (key, secret) in &made {
                let id = key.name.rsplit('/').next().unwrap();
                assert!(
                    holds(id) && !holds(secret.get(16..59).unwrap()),
                    "the secret is stored"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_project_has_a_thousand_keys_that_are_not_revoked() {
    for world in World::each().await {
        let client = world.keys();
        let creating = (0..1010).map(|_| {
            let mut client = client.clone();
            async move {
                client
                    .create_api_key(request(ProjectRole::Viewer, None))
                    .await
            }
        });
        let made = join_all(creating).await;
        let (good, full): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        assert_eq!((good.len(), full.len()), (1000, 10));
        for refusal in full {
            let reason = refused(refusal, Code::ResourceExhausted);
            assert!(reason.contains("revoke"), "{reason}");
        }
        let (listed, _) = list(&world, 1, "").await;
        revoke(&world, &listed[0]).await;
        create(&world, ProjectRole::Viewer, None).await;
    }
}

#[tokio::test]
async fn what_is_too_long_for_a_key_is_not_read() {
    for world in World::each().await {
        let long = exchange(&world, &"x".repeat(1024 * 1024)).await;
        refused(long, Code::OutOfRange);
    }
}
