//! Members of projects.

use std::time::Duration;

use futures::future::join_all;
use granary_proto::{
    identity::v1::{
        CreateMemberRequest, DeleteMemberRequest, GetMemberRequest, ListMembersRequest, Member,
        MemberState, ProjectRole, UpdateMemberRequest, member_service_client::MemberServiceClient,
    },
    metadata::v1::{
        CreateDatasetRequest, GetProjectRequest, ListProjectsRequest, WatchEventsRequest,
        dataset_service_client::DatasetServiceClient, project_service_client::ProjectServiceClient,
    },
};
use granary_runtime::Link;
use prost_types::FieldMask;
use tonic::{Code, Status};

use crate::world::{ISSUER, World, blamed, refused};

pub(crate) const P: &str = "projects/p";
const REQUEST: &str = "0b5e7a1c-3a52-4c3c-9d6e-0f7d8c1a2b3c";

fn principal(issuer: &str, subject: &str, role: ProjectRole) -> CreateMemberRequest {
    let member = Member {
        issuer: issuer.into(),
        subject: subject.into(),
        role: role.into(),
        ..Member::default()
    };
    CreateMemberRequest {
        parent: P.into(),
        member: Some(member),
        ..Default::default()
    }
}

fn invitation(email: &str, role: ProjectRole) -> CreateMemberRequest {
    let member = Member {
        email: email.into(),
        role: role.into(),
        ..Member::default()
    };
    CreateMemberRequest {
        parent: P.into(),
        member: Some(member),
        ..Default::default()
    }
}

pub(crate) async fn add(
    world: &World,
    project: &str,
    issuer: &str,
    subject: &str,
    role: ProjectRole,
) -> Member {
    let request = CreateMemberRequest {
        parent: project.into(),
        ..principal(issuer, subject, role)
    };
    let made = world.members().create_member(request).await.unwrap();
    made.into_inner()
}

pub(crate) async fn invite(world: &World, project: &str, email: &str, role: ProjectRole) -> Member {
    let request = CreateMemberRequest {
        parent: project.into(),
        ..invitation(email, role)
    };
    let made = world.members().create_member(request).await.unwrap();
    made.into_inner()
}

/// A member whose tokens are those of the world's own issuer.
pub(crate) async fn member(world: &World, subject: &str, role: ProjectRole) -> Member {
    add(world, P, world.issuer.name(), subject, role).await
}

pub(crate) fn client(world: &World, subject: &str) -> MemberServiceClient<Link> {
    MemberServiceClient::new(world.link_as(subject))
}

pub(crate) fn lowered(name: &str, role: ProjectRole) -> UpdateMemberRequest {
    UpdateMemberRequest {
        member: Some(Member {
            name: name.into(),
            role: role.into(),
            ..Member::default()
        }),
        update_mask: None,
    }
}

pub(crate) fn delete(name: &str) -> DeleteMemberRequest {
    DeleteMemberRequest { name: name.into() }
}

pub(crate) async fn list(world: &World, page_size: i32, page_token: &str) -> (Vec<Member>, String) {
    let request = ListMembersRequest {
        parent: P.into(),
        page_size,
        page_token: page_token.into(),
    };
    let page = world.members().list_members(request).await.unwrap();
    let page = page.into_inner();
    (page.members, page.next_page_token)
}

async fn may_read(world: &World, subject: &str) -> Result<(), Status> {
    let mut client = ProjectServiceClient::new(world.link_as(subject));
    let request = GetProjectRequest { name: P.into() };
    client.get_project(request).await.map(drop)
}

async fn may_write(world: &World, subject: &str, dataset: &str) -> Result<(), Status> {
    let mut client = DatasetServiceClient::new(world.link_as(subject));
    let request = CreateDatasetRequest {
        parent: P.into(),
        dataset_id: dataset.into(),
        ..Default::default()
    };
    client.create_dataset(request).await.map(drop)
}

#[tokio::test]
async fn who_creates_a_project_owns_it_and_the_first_one_has_no_owner() {
    for world in World::each().await {
        world.project("p").await;
        let (members, _) = list(&world, 0, "").await;
        let [owner] = &members[..] else {
            panic!("one member");
        };
        assert_eq!(
            (&*owner.subject, &*owner.issuer, owner.role(), owner.state()),
            (
                "ada",
                world.issuer.name(),
                ProjectRole::Owner,
                MemberState::Active
            )
        );
        assert!(!owner.etag.is_empty() && owner.create_time.is_some());
        may_write(&world, "ada", "d").await.unwrap();
        let first = ListMembersRequest {
            parent: "projects/default".into(),
            ..Default::default()
        };
        let first = world.members().list_members(first).await.unwrap();
        assert_eq!(first.into_inner().members, []);
    }
}

#[tokio::test]
async fn a_role_allows_what_it_says_and_strangers_see_nothing() {
    for world in World::each().await {
        world.project("p").await;
        let hidden = refused(may_read(&world, "bob").await, Code::NotFound);
        assert_eq!(hidden, "projects/p not found");
        let bob = member(&world, "bob", ProjectRole::Viewer).await;
        may_read(&world, "bob").await.unwrap();
        refused(may_write(&world, "bob", "d").await, Code::PermissionDenied);
        let mut owner = client(&world, "ada");
        let changed = owner.update_member(lowered(&bob.name, ProjectRole::Editor));
        let changed = changed.await.unwrap().into_inner();
        assert_eq!(changed.role(), ProjectRole::Editor);
        assert_ne!(changed.etag, bob.etag);
        may_write(&world, "bob", "d").await.unwrap();
        let mut bobs = client(&world, "bob");
        let more = bobs.create_member(principal("i", "eve", ProjectRole::Viewer));
        refused(more.await, Code::PermissionDenied);
        owner.delete_member(delete(&bob.name)).await.unwrap();
        refused(may_read(&world, "bob").await, Code::NotFound);
        refused(owner.delete_member(delete(&bob.name)).await, Code::NotFound);
    }
}

#[tokio::test]
async fn a_principal_and_an_address_are_members_once() {
    for world in World::each().await {
        world.project("p").await;
        let mut client = world.members();
        let first = client.create_member(invitation("Bob@example.org", ProjectRole::Viewer));
        let first = first.await.unwrap().into_inner();
        assert_eq!(
            (
                first.state(),
                &*first.issuer,
                &*first.subject,
                &*first.email
            ),
            (MemberState::Invited, "", "", "Bob@example.org")
        );
        let again = client.create_member(invitation("bob@EXAMPLE.org", ProjectRole::Editor));
        let reason = refused(again.await, Code::AlreadyExists);
        assert!(
            reason.contains(&first.name) && reason.contains("viewer"),
            "{reason}"
        );
        let bob = principal(ISSUER, "bob", ProjectRole::Editor);
        client.create_member(bob.clone()).await.unwrap();
        refused(client.create_member(bob.clone()).await, Code::AlreadyExists);
        world.project("q").await;
        let parent = "projects/q".into();
        let elsewhere = CreateMemberRequest { parent, ..bob };
        client.create_member(elsewhere).await.unwrap();
    }
}

#[tokio::test]
async fn a_repeated_request_adds_one_member() {
    for world in World::each().await {
        world.project("p").await;
        let once = CreateMemberRequest {
            request_id: REQUEST.into(),
            ..invitation("bob@example.org", ProjectRole::Viewer)
        };
        let calls = (0..20).map(|_| {
            let (mut client, request) = (world.members(), once.clone());
            async move { client.create_member(request).await.unwrap().into_inner() }
        });
        let answers = join_all(calls).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        let other = CreateMemberRequest {
            request_id: REQUEST.into(),
            ..principal(ISSUER, "s", ProjectRole::Viewer)
        };
        assert_eq!(
            blamed(world.members().create_member(other).await),
            "request_id"
        );
    }
}

#[tokio::test]
async fn hostile_members_are_refused_by_field() {
    for world in World::each().await {
        world.project("p").await;
        let mut client = world.members();
        let viewer = ProjectRole::Viewer;
        let both = |mut request: CreateMemberRequest| {
            request.member.as_mut().unwrap().email = "a@b".into();
            request
        };
        let key = format!("{P}/apiKeys/k");
        for (request, field) in [
            (principal("", "", viewer), "member"),
            (both(principal("i", "s", viewer)), "member"),
            (both(principal("i", "", viewer)), "member"),
            (principal("i", "", viewer), "member.subject"),
            (principal("", "s", viewer), "member.issuer"),
            (principal(&"i".repeat(513), "s", viewer), "member.issuer"),
            (principal("i", &"s".repeat(257), viewer), "member.subject"),
            (principal("i", "s\0", viewer), "member.subject"),
            (principal("i", "s", viewer), "member.issuer"),
            (
                principal(&format!("{ISSUER}/"), "s", viewer),
                "member.issuer",
            ),
            (
                principal(world.issuer.name(), &key, viewer),
                "member.subject",
            ),
            (principal("i", "s", ProjectRole::Unspecified), "member.role"),
            (invitation("nobody", viewer), "member.email"),
            (invitation("@example.org", viewer), "member.email"),
            (invitation("bob@", viewer), "member.email"),
            (invitation("a@b@c", viewer), "member.email"),
            (invitation("a b@c", viewer), "member.email"),
            (invitation("a@b\n", viewer), "member.email"),
            (
                invitation(&format!("{}@b", "a".repeat(254)), viewer),
                "member.email",
            ),
        ] {
            assert_eq!(
                blamed(client.create_member(request.clone()).await),
                field,
                "{request:?}"
            );
        }
        let mut strange = principal("i", "s", viewer);
        strange.member.as_mut().unwrap().role = 77;
        assert_eq!(blamed(client.create_member(strange).await), "member.role");
        let nowhere = CreateMemberRequest {
            parent: "projects/nowhere".into(),
            ..principal(ISSUER, "s", viewer)
        };
        refused(client.create_member(nowhere).await, Code::NotFound);
    }
}

#[tokio::test]
async fn a_change_meets_what_was_read_and_only_the_role_changes() {
    for world in World::each().await {
        world.project("p").await;
        let bob = member(&world, "bob", ProjectRole::Viewer).await;
        let mut client = world.members();
        let with = |etag: &str, role: ProjectRole, mask: &[&str]| UpdateMemberRequest {
            member: Some(Member {
                etag: etag.into(),
                role: role.into(),
                subject: "eve".into(),
                ..bob.clone()
            }),
            update_mask: Some(FieldMask {
                paths: mask.iter().map(|path| (*path).into()).collect(),
            }),
        };
        let second = client.update_member(with(&bob.etag, ProjectRole::Labeler, &["role"]));
        let second = second.await.unwrap().into_inner();
        assert_eq!(
            (&*second.subject, second.role()),
            ("bob", ProjectRole::Labeler)
        );
        let stale = client.update_member(with(&bob.etag, ProjectRole::Editor, &[]));
        refused(stale.await, Code::Aborted);
        let same = client.update_member(with(&second.etag, ProjectRole::Labeler, &["*"]));
        assert_eq!(same.await.unwrap().into_inner(), second);
        let wrong = client.update_member(with("", ProjectRole::Editor, &["subject"]));
        assert_eq!(blamed(wrong.await), "update_mask");
        let none = client.update_member(with("", ProjectRole::Unspecified, &["role"]));
        assert_eq!(blamed(none.await), "member.role");
        let nobody = lowered("projects/p/members/nobody", ProjectRole::Viewer);
        refused(client.update_member(nobody).await, Code::NotFound);
    }
}

#[tokio::test]
async fn everybody_leaves_and_only_owners_remove_others() {
    for world in World::each().await {
        world.project("p").await;
        let bob = member(&world, "bob", ProjectRole::Editor).await;
        member(&world, "eve", ProjectRole::Worker).await;
        let me = format!("{P}/members/me");
        for subject in ["eve", "bob"] {
            let (owners, _) = list(&world, 1, "").await;
            let other = client(&world, subject)
                .delete_member(delete(&owners[0].name))
                .await;
            refused(other, Code::PermissionDenied);
        }
        client(&world, "eve")
            .delete_member(delete(&me))
            .await
            .unwrap();
        refused(may_read(&world, "eve").await, Code::NotFound);
        let mut own = client(&world, "bob");
        let found = own.get_member(GetMemberRequest { name: me.clone() }).await;
        assert_eq!(found.unwrap().into_inner(), bob);
        own.delete_member(delete(&bob.name)).await.unwrap();
        refused(
            client(&world, "bob").delete_member(delete(&me)).await,
            Code::NotFound,
        );
    }
}

#[tokio::test]
async fn members_are_listed_oldest_first_in_pages_of_their_project() {
    for world in World::each().await {
        world.project("p").await;
        for i in 0..5 {
            member(&world, &format!("s{i}"), ProjectRole::Viewer).await;
        }
        let (mut subjects, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = list(&world, 2, &token).await;
            subjects.extend(page.into_iter().map(|member| member.subject));
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(subjects, ["ada", "s0", "s1", "s2", "s3", "s4"]);
        let foreign = ListMembersRequest {
            parent: "projects/default".into(),
            page_size: 2,
            page_token: token,
        };
        assert_eq!(
            blamed(world.members().list_members(foreign).await),
            "page_token"
        );
    }
}

#[tokio::test]
async fn a_project_is_listed_to_its_members_only() {
    for world in World::each().await {
        for id in ["p", "q", "r"] {
            world.project(id).await;
        }
        for project in [P, "projects/r"] {
            let issuer = world.issuer.name();
            add(&world, project, issuer, "bob", ProjectRole::Viewer).await;
        }
        let all = |link: Link| async move {
            let (mut client, mut names) = (ProjectServiceClient::new(link), Vec::new());
            let mut page_token = String::new();
            loop {
                let request = ListProjectsRequest {
                    page_size: 1,
                    page_token,
                };
                let page = client.list_projects(request).await.unwrap().into_inner();
                names.extend(page.projects.into_iter().map(|project| project.name));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    return names;
                }
            }
        };
        assert_eq!(all(world.link_as("bob")).await, [P, "projects/r"]);
        assert!(all(world.link_as("eve")).await.is_empty());
        use granary_runtime::auth::Role;
        let everything = ["projects/default", "projects/p", "projects/q", "projects/r"];
        for role in [Role::Administrator, Role::Service] {
            assert_eq!(all(world.link("x", role)).await, everything);
        }
    }
}

#[tokio::test]
async fn what_happens_to_members_is_told() {
    for world in World::each().await {
        world.project("p").await;
        let bob = member(&world, "bob", ProjectRole::Viewer).await;
        let mut client = world.members();
        let change = lowered(&bob.name, ProjectRole::Editor);
        client.update_member(change).await.unwrap();
        client.delete_member(delete(&bob.name)).await.unwrap();
        let request = WatchEventsRequest {
            parent: P.into(),
            resume_token: "0".into(),
            resource: bob.name.clone(),
            ..Default::default()
        };
        let stream = world.events().watch_events(request).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), async {
            stream.into_inner().message().await
        });
        let events = next.await.unwrap().unwrap().unwrap().events;
        let types: Vec<_> = events.iter().map(|event| event.r#type.as_str()).collect();
        assert_eq!(types, ["member.added", "member.changed", "member.removed"]);
    }
}
