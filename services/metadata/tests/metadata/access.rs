//! Who may do what, as the other services ask it, and invitations.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::join_all;
use granary_proto::{
    identity::v1::{
        CheckAccessRequest, ListMembersRequest, Member, MemberState, ProjectRole,
        access_service_client::AccessServiceClient,
    },
    metadata::v1::{ListProjectsRequest, project_service_client::ProjectServiceClient},
};
use granary_runtime::auth::Role;
use tonic::{Code, Request};

use crate::{
    members::{add, invite},
    world::{ISSUER, World, blamed, refused},
};

fn ask(project: &str, subject: &str, email: &str) -> CheckAccessRequest {
    CheckAccessRequest {
        project: project.into(),
        issuer: ISSUER.into(),
        subject: subject.into(),
        email: email.into(),
    }
}

impl World {
    pub(crate) async fn role(&self, question: CheckAccessRequest) -> ProjectRole {
        let answer = self.access().check_access(question).await.unwrap();
        let answer = answer.into_inner();
        assert!(answer.max_age.is_some());
        answer.role()
    }
}

async fn members(world: &World, project: &str) -> Vec<Member> {
    let request = ListMembersRequest {
        parent: project.into(),
        ..Default::default()
    };
    let answer = world.members().list_members(request).await.unwrap();
    answer.into_inner().members
}

#[tokio::test]
async fn members_have_their_role_in_their_project_and_others_none() {
    for world in World::each().await {
        world.project("p").await;
        add(&world, "projects/p", ISSUER, "bob", ProjectRole::Labeler).await;
        let role = async |project, subject| world.role(ask(project, subject, "")).await;
        assert_eq!(role("projects/p", "bob").await, ProjectRole::Labeler);
        for (project, subject) in [
            ("projects/p", "eve"),
            ("projects/default", "bob"),
            ("projects/nowhere", "bob"),
            ("projects/-", "bob"),
            ("projects/p", "bo\0b"),
            ("projects/p", "BOB"),
            ("projects/p", ""),
        ] {
            let found = role(project, subject).await;
            assert_eq!(found, ProjectRole::Unspecified, "{project} {subject:?}");
        }
        let elsewhere = CheckAccessRequest {
            issuer: "https://other.example".into(),
            ..ask("projects/p", "bob", "")
        };
        assert_eq!(world.role(elsewhere).await, ProjectRole::Unspecified);
        let wrong = world.access().check_access(ask("p", "bob", "")).await;
        assert_eq!(blamed(wrong), "project");
    }
}

#[tokio::test]
async fn only_services_ask() {
    for world in World::each().await {
        for role in [Role::Administrator, Role::Worker] {
            let mut client = AccessServiceClient::new(world.link("ada", role));
            let answer = client.check_access(ask("projects/default", "bob", ""));
            refused(answer.await, Code::PermissionDenied);
        }
    }
}

#[tokio::test]
async fn many_questions_at_once_have_each_its_answer() {
    for world in World::each().await {
        world.project("p").await;
        for i in 0..10 {
            let subject = format!("s{i}");
            add(&world, "projects/p", ISSUER, &subject, ProjectRole::Editor).await;
        }
        let client = world.access();
        let questions = (0..500).map(|i| {
            let (mut client, i) = (client.clone(), i % 20);
            async move {
                let question = ask("projects/p", &format!("s{i}"), "");
                let answer = client.check_access(question).await.unwrap();
                (i, answer.into_inner().role())
            }
        });
        for (i, role) in join_all(questions).await {
            let expected = match i {
                0..10 => ProjectRole::Editor,
                _ => ProjectRole::Unspecified,
            };
            assert_eq!(role, expected, "{i}");
        }
    }
}

#[tokio::test]
async fn an_invitation_is_taken_by_its_verified_address_once() {
    for world in World::each().await {
        world.project("p").await;
        invite(&world, "projects/p", "Bob@Example.org", ProjectRole::Viewer).await;
        let role = async |subject, email| world.role(ask("projects/p", subject, email)).await;
        assert_eq!(role("bob", "").await, ProjectRole::Unspecified);
        assert_eq!(
            role("bob", "eve@example.org").await,
            ProjectRole::Unspecified
        );
        // Letters that only look alike, or fold into others, are other letters.
        assert_eq!(
            role("eve", "bob@exam\u{fe4f}ple.org").await,
            ProjectRole::Unspecified
        );
        assert_eq!(role("bob", "bOB@eXAMPLE.ORG").await, ProjectRole::Viewer);
        assert_eq!(
            role("eve", "bob@example.org").await,
            ProjectRole::Unspecified
        );
        assert_eq!(role("bob", "").await, ProjectRole::Viewer);
        let [_, member] = &members(&world, "projects/p").await[..] else {
            panic!("the owner and Bob");
        };
        assert_eq!(member.state(), MemberState::Active);
        assert_eq!(
            (&*member.issuer, &*member.subject, &*member.email),
            (ISSUER, "bob", "Bob@Example.org")
        );
    }
}

#[tokio::test]
async fn of_many_who_come_at_once_one_takes_the_invitation() {
    for world in World::each().await {
        world.project("p").await;
        invite(&world, "projects/p", "bob@example.org", ProjectRole::Editor).await;
        let client = world.access();
        let claims = (0..50).map(|i| {
            let mut client = client.clone();
            async move {
                let claim = ask("projects/p", &format!("s{i}"), "bob@example.org");
                client
                    .check_access(claim)
                    .await
                    .unwrap()
                    .into_inner()
                    .role()
            }
        });
        let roles = join_all(claims).await;
        let taken = roles.iter().filter(|role| **role == ProjectRole::Editor);
        assert_eq!(taken.count(), 1);
        assert_eq!(members(&world, "projects/p").await.len(), 2);
    }
}

#[tokio::test]
async fn of_two_servers_one_gives_the_invitation() {
    let Some([one, other]) = World::two().await else {
        return;
    };
    one.project("p").await;
    invite(&one, "projects/p", "bob@example.org", ProjectRole::Editor).await;
    let (first, second) = tokio::join!(
        one.role(ask("projects/p", "s1", "bob@example.org")),
        other.role(ask("projects/p", "s2", "bob@example.org")),
    );
    let taken = [first, second].map(|role| role == ProjectRole::Editor);
    assert!(taken[0] != taken[1], "{first:?} {second:?}");
}

#[tokio::test]
async fn who_is_a_member_already_takes_no_invitation() {
    for world in World::each().await {
        world.project("p").await;
        add(&world, "projects/p", ISSUER, "bob", ProjectRole::Viewer).await;
        invite(&world, "projects/p", "bob@example.org", ProjectRole::Owner).await;
        let role = world
            .role(ask("projects/p", "bob", "bob@example.org"))
            .await;
        assert_eq!(role, ProjectRole::Viewer);
        let states: Vec<_> = members(&world, "projects/p").await;
        let states: Vec<_> = states.iter().map(Member::state).collect();
        let (active, invited) = (MemberState::Active, MemberState::Invited);
        assert_eq!(states, [active, active, invited]);
    }
}

#[tokio::test]
async fn a_list_of_projects_accepts_what_one_is_invited_to() {
    for world in World::each().await {
        for project in ["p", "q", "r"] {
            world.project(project).await;
        }
        for project in ["projects/p", "projects/r"] {
            invite(&world, project, "bob@example.org", ProjectRole::Viewer).await;
        }
        let said = serde_json::json!({"issuer": ISSUER, "subject": "bob", "email": "BOB@example.org",
            "role": null, "expires": 4_000_000_000_i64});
        let said = URL_SAFE_NO_PAD.encode(said.to_string());
        let mut request = Request::new(ListProjectsRequest::default());
        let header = said.parse().unwrap();
        request
            .metadata_mut()
            .insert("granary-on-behalf-of", header);
        let mut client = ProjectServiceClient::new(world.link("service:job", Role::Service));
        let found = client.list_projects(request).await.unwrap().into_inner();
        let names: Vec<_> = found.projects.into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["projects/p", "projects/r"]);
        let role = world.role(ask("projects/r", "bob", "")).await;
        assert_eq!(role, ProjectRole::Viewer);
    }
}
