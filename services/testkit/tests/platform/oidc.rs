//! A platform whose people come from an issuer outside.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::time::Duration;

use futures::future::join_all;
use granary::serve::{Platform, Settings};
use granary_proto::{
    identity::v1::{
        CreateMemberRequest, CreateTokenRequest, GetPrincipalRequest, Member, ProjectRole,
        Role as WireRole, member_service_client::MemberServiceClient,
        token_service_client::TokenServiceClient,
    },
    metadata::v1::{
        CreateProjectRequest, GetProjectRequest, ListProjectsRequest, Project,
        project_service_client::ProjectServiceClient,
    },
};
use granary_runtime::{
    Link,
    auth::{Issuer, Role, TokenSource, oidc::OidcIssuer},
};
use granary_testkit::{AUDIENCE, TestIssuer, TestKey};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

/// A platform that trusts an issuer with one key, and has its group `platform` for administrators.
struct World {
    issuer: TestIssuer,
    key: TestKey,
    platform: Platform,
    channel: Channel,
    folder: TempDir,
}

impl World {
    async fn start() -> Self {
        let (issuer, key) = (TestIssuer::start().await, TestKey::new("first"));
        issuer.publish(&[&key]);
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::in_folder(folder.path().join("data"));
        settings.listen = "127.0.0.1:0".parse().unwrap();
        settings.s3_listen = "127.0.0.1:0".parse().unwrap();
        settings.job_slots = 0;
        let mut trusted = OidcIssuer::new(issuer.url(), vec![AUDIENCE.into()]);
        trusted.administrators = vec!["group:platform".parse().unwrap()];
        settings.oidc = vec![trusted];
        let platform = Platform::start(settings).await.unwrap();
        let endpoint = format!("http://{}", platform.address());
        let channel = Endpoint::from_shared(endpoint)
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self {
            issuer,
            key,
            platform,
            channel,
            folder,
        }
    }

    /// As somebody with a token.
    fn with(&self, token: &str) -> Link {
        Link::remote(self.channel.clone(), TokenSource::fixed(token).unwrap())
    }

    /// As a subject with more claims.
    fn as_one(&self, subject: &str, more: &Json) -> Link {
        self.with(&self.issuer.token(&self.key, subject, more))
    }

    fn administrator(&self) -> Link {
        self.as_one("root", &json!({"groups": ["users", "platform"]}))
    }
}

async fn get(link: &Link, project: &str) -> Result<String, Code> {
    let request = GetProjectRequest {
        name: format!("projects/{project}"),
    };
    let answer = ProjectServiceClient::new(link.clone())
        .get_project(request)
        .await;
    answer
        .map(|project| project.into_inner().name)
        .map_err(|status| status.code())
}

async fn whoami(link: &Link) -> Result<String, Status> {
    let answer = TokenServiceClient::new(link.clone())
        .get_principal(GetPrincipalRequest::default())
        .await?;
    Ok(answer.into_inner().subject)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_rotated_under_load_without_a_restart_and_without_a_failed_call() {
    let world = World::start().await;
    let old = world.as_one("old", &json!({}));
    assert_eq!(whoami(&old).await.unwrap(), "old");
    let stop = CancellationToken::new();
    let load = (0..4).map(|_| {
        let (old, stop) = (old.clone(), stop.clone());
        tokio::spawn(async move {
            let mut calls = 0;
            while !stop.is_cancelled() {
                whoami(&old).await.unwrap();
                calls += 1;
            }
            calls
        })
    });
    let load: Vec<_> = load.collect();
    let next = TestKey::new("next");
    world.issuer.publish(&[&world.key, &next]);
    let new = |i: i32| world.with(&world.issuer.token(&next, &format!("new{i}"), &json!({})));
    let links: Vec<_> = (0..50).map(new).collect();
    for (i, subject) in join_all(links.iter().map(whoami))
        .await
        .into_iter()
        .enumerate()
    {
        assert_eq!(subject.unwrap(), format!("new{i}"));
    }
    stop.cancel();
    for calls in join_all(load).await {
        assert!(calls.unwrap() > 0);
    }
    world.platform.stop().await;
}

#[tokio::test]
async fn people_are_administrators_by_group_and_members_by_a_verified_address() {
    let world = World::start().await;
    let root = world.administrator();
    let project = CreateProjectRequest {
        project: Some(Project::default()),
        project_id: "lab".into(),
        ..CreateProjectRequest::default()
    };
    ProjectServiceClient::new(root.clone())
        .create_project(project)
        .await
        .unwrap();
    let invited = CreateMemberRequest {
        parent: "projects/lab".into(),
        member: Some(Member {
            role: ProjectRole::Viewer.into(),
            email: "Bob@example.org".into(),
            ..Member::default()
        }),
        ..CreateMemberRequest::default()
    };
    MemberServiceClient::new(root.clone())
        .create_member(invited)
        .await
        .unwrap();
    // Strangers, and one who only says that he is Bob.
    for claims in [
        json!({}),
        json!({"email": "bob@example.org"}),
        json!({"email": "bob@example.org", "email_verified": false}),
    ] {
        assert_eq!(
            get(&world.as_one("mallory", &claims), "lab").await,
            Err(Code::NotFound)
        );
    }
    let bob = world.as_one(
        "bob",
        &json!({"email": "bob@example.org", "email_verified": true}),
    );
    assert_eq!(get(&bob, "lab").await.as_deref(), Ok("projects/lab"));
    // From then on it is the subject that counts.
    assert_eq!(
        get(&world.as_one("bob", &json!({})), "lab")
            .await
            .as_deref(),
        Ok("projects/lab")
    );
    let late = world.as_one(
        "late",
        &json!({"email": "bob@example.org", "email_verified": true}),
    );
    assert_eq!(get(&late, "lab").await, Err(Code::NotFound));
    let seen = ProjectServiceClient::new(bob)
        .list_projects(ListProjectsRequest::default())
        .await
        .unwrap();
    assert_eq!(seen.into_inner().projects.len(), 1);
    world.platform.stop().await;
}

#[tokio::test]
async fn the_bundled_issuer_makes_nobody_an_administrator_there() {
    let world = World::start().await;
    assert_eq!(world.platform.token_file(), None);
    let own = Issuer::open(&world.folder.path().join("data/issuer-key")).unwrap();
    let name = "projects/default/apiKeys/k";
    for (subject, role) in [
        ("local-administrator", Some(Role::Administrator)),
        ("w", Some(Role::Worker)),
        ("service:job", Some(Role::Service)),
        ("ada", None),
        (name, Some(Role::Administrator)),
    ] {
        let (token, _) = own.issue(subject, role, Duration::from_secs(60)).unwrap();
        let refused = whoami(&world.with(&token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{subject} {role:?}");
    }
    // Somebody else's subject is not the key of that name, nor a token of that key good for anything once it is gone.
    let (token, _) = own
        .issue(name, None::<Role>, Duration::from_secs(60))
        .unwrap();
    assert_eq!(
        get(&world.with(&token), "default").await,
        Err(Code::NotFound)
    );
    assert_eq!(
        get(&world.as_one(name, &json!({})), "default").await,
        Err(Code::Unauthenticated)
    );
    let request = CreateTokenRequest {
        subject: "robot".into(),
        role: WireRole::Worker.into(),
        lifetime: None,
    };
    let refused = TokenServiceClient::new(world.administrator())
        .create_token(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    world.platform.stop().await;
}
