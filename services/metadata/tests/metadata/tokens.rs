//! Tokens.

use granary_proto::identity::v1::{
    CreateTokenRequest, GetPrincipalRequest, ProjectRole, Role as WireRole,
    token_service_client::TokenServiceClient,
};
use granary_runtime::auth::Role;
use tonic::Code;

use crate::{
    members::add,
    world::{ISSUER, World, blamed, refused},
};

fn create(subject: &str, role: WireRole, seconds: i64) -> CreateTokenRequest {
    let lifetime = (seconds != 0).then_some(prost_types::Duration { seconds, nanos: 0 });
    CreateTokenRequest {
        subject: subject.into(),
        role: role.into(),
        lifetime,
    }
}

#[tokio::test]
async fn a_caller_learns_whom_its_token_stands_for() {
    for world in World::each().await {
        let mut client = TokenServiceClient::new(world.link("worker-1", Role::Worker));
        let principal = client
            .get_principal(GetPrincipalRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (principal.subject.as_str(), principal.role()),
            ("worker-1", WireRole::Worker)
        );
        assert!(principal.issuer == "granary" && principal.expire_time.is_some());
        refused(
            client.create_token(create("x", WireRole::Worker, 0)).await,
            Code::PermissionDenied,
        );
    }
}

#[tokio::test]
async fn tokens_are_issued_within_bounds() {
    for world in World::each().await {
        let mut client = world.tokens();
        let made = client
            .create_token(create("ada@lab:1", WireRole::Worker, 30 * 24 * 3600))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(made.token.split('.').count(), 3);
        assert!(made.expire_time.is_some());
        for role in [WireRole::Administrator, WireRole::Unspecified] {
            client.create_token(create("ada", role, 0)).await.unwrap();
        }
        for (subject, role, seconds, field) in [
            ("", WireRole::Worker, 0, "subject"),
            ("a b", WireRole::Worker, 0, "subject"),
            ("ada\n", WireRole::Worker, 0, "subject"),
            (&"x".repeat(129), WireRole::Worker, 0, "subject"),
            ("ada", WireRole::Service, 0, "role"),
            ("ada", WireRole::Worker, 30 * 24 * 3600 + 1, "lifetime"),
            ("ada", WireRole::Worker, -1, "lifetime"),
        ] {
            assert_eq!(
                blamed(client.create_token(create(subject, role, seconds)).await),
                field
            );
        }
        let world = world.without_tokens().await;
        let error = refused(
            world
                .tokens()
                .create_token(create("ada", WireRole::Worker, 0))
                .await,
            Code::FailedPrecondition,
        );
        assert!(error.contains("this server issues no tokens"), "{error}");
    }
}

#[tokio::test]
async fn whoever_asks_is_told_the_own_roles_by_project() {
    for world in World::each().await {
        let own = world.issuer.name();
        for (project, role) in [("q", ProjectRole::Labeler), ("p", ProjectRole::Viewer)] {
            world.project(project).await;
            add(&world, &format!("projects/{project}"), own, "bob", role).await;
        }
        add(&world, "projects/p", ISSUER, "bob", ProjectRole::Owner).await;
        let mut tokens = TokenServiceClient::new(world.link_as("bob"));
        let mut roles = async |with_projects| {
            let request = GetPrincipalRequest { with_projects };
            let who = tokens.get_principal(request).await.unwrap().into_inner();
            let roles = who.projects.into_iter();
            roles
                .map(|place| (place.project.clone(), place.role()))
                .collect::<Vec<_>>()
        };
        let expected = [
            ("projects/p".to_owned(), ProjectRole::Viewer),
            ("projects/q".to_owned(), ProjectRole::Labeler),
        ];
        assert_eq!(roles(true).await, expected);
        assert_eq!(roles(false).await, []);
    }
}
