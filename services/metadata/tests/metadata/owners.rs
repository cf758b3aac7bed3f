//! The last owner of a project, whatever happens at once.

use futures::future::join_all;
use granary_proto::identity::v1::{ListMembersRequest, ProjectRole};
use tonic::Code;

use crate::{
    members::{P, add, client, delete, invite, list, lowered, member},
    world::{World, refused},
};

#[tokio::test]
async fn the_last_owner_stays() {
    for world in World::each().await {
        world.project("p").await;
        let (members, _) = list(&world, 0, "").await;
        let owner = &members[0].name;
        // One who may never come is no owner to rely on, and neither is one of another project.
        invite(&world, P, "bob@example.org", ProjectRole::Owner).await;
        world.project("q").await;
        let mut client = client(&world, "ada");
        for name in [owner.clone(), format!("{P}/members/me")] {
            let left = client.delete_member(delete(&name)).await;
            let reason = refused(left, Code::FailedPrecondition);
            assert!(reason.contains("last owner"), "{reason}");
        }
        let low = client.update_member(lowered(owner, ProjectRole::Editor));
        refused(low.await, Code::FailedPrecondition);
        let refuse = world.members().delete_member(delete(owner)).await;
        refused(refuse, Code::FailedPrecondition);
        let eve = member(&world, "eve", ProjectRole::Owner).await;
        let low = client.update_member(lowered(owner, ProjectRole::Editor));
        low.await.unwrap();
        client.delete_member(delete(owner)).await.unwrap();
        let last = world.members().delete_member(delete(&eve.name)).await;
        refused(last, Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn of_owners_who_leave_at_once_one_stays() {
    for world in World::each().await {
        for round in 0..5 {
            let id = format!("p{round}");
            world.project(&id).await;
            let project = format!("projects/{id}");
            let mut names = Vec::new();
            for i in 0..10 {
                let subject = format!("s{i}");
                let issuer = world.issuer.name();
                let role = ProjectRole::Owner;
                names.push(add(&world, &project, issuer, &subject, role).await.name);
            }
            let me = format!("{project}/members/me");
            client(&world, "ada")
                .delete_member(delete(&me))
                .await
                .unwrap();
            let leave = names.iter().enumerate().map(|(i, name)| {
                let mut admin = world.members();
                let low = lowered(name, ProjectRole::Viewer);
                async move {
                    match i % 2 {
                        0 => admin.delete_member(delete(name)).await.map(drop),
                        _ => admin.update_member(low).await.map(drop),
                    }
                }
            });
            let failed: Vec<_> = join_all(leave)
                .await
                .into_iter()
                .filter_map(Result::err)
                .collect();
            assert_eq!(failed.len(), 1, "{failed:?}");
            assert_eq!(failed[0].code(), Code::FailedPrecondition);
        }
    }
}

#[tokio::test]
async fn of_two_owners_who_leave_by_two_servers_one_stays() {
    let Some([one, other]) = World::two().await else {
        return;
    };
    for round in 0..20 {
        let id = format!("p{round}");
        one.project(&id).await;
        let project = format!("projects/{id}");
        let bob = add(
            &one,
            &project,
            "https://id.example",
            "bob",
            ProjectRole::Owner,
        )
        .await;
        let request = ListMembersRequest {
            parent: project,
            ..Default::default()
        };
        let owners = one
            .members()
            .list_members(request)
            .await
            .unwrap()
            .into_inner();
        let (mut here, mut there) = (one.members(), other.members());
        let (first, second) = tokio::join!(
            here.delete_member(delete(&owners.members[0].name)),
            there.delete_member(delete(&bob.name)),
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    }
}
