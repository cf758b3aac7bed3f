//! What entries of the audit log name, and whose they are.

use granary_proto::{
    identity::v1::{
        AuditEntry, AuditVerdict, CreateApiKeyRequest, CreateMemberRequest, ExchangeApiKeyRequest,
        ListAuditEntriesRequest, Member, ProjectRole, api_key_service_client::ApiKeyServiceClient,
        audit_service_client::AuditServiceClient, member_service_client::MemberServiceClient,
    },
    metadata::v1::{
        AssetEvent, BatchCreateAssetsRequest, BatchUpdateAssetStatesRequest, CreateSessionRequest,
        asset_service_client::AssetServiceClient, session_service_client::SessionServiceClient,
    },
};
use granary_runtime::{
    Link,
    auth::{Role, TokenSource},
};
use tonic::{Code, Request};

use crate::{
    audit::{list, of},
    recorded::{calls, create_dataset, member_token, new_key, sorted, token},
    world::{DATASET, World, asset, refused, session_name, update},
};

#[tokio::test]
async fn who_makes_something_is_kept_with_its_name() {
    for world in World::each().await {
        let ledger = world.ledger();
        let ada = world.link_recorded(token(&world, "ada", Some(Role::Administrator)), &ledger);
        let request = CreateSessionRequest {
            parent: DATASET.into(),
            session_id: "s".into(),
            ..CreateSessionRequest::default()
        };
        let mut sessions = SessionServiceClient::new(ada.clone());
        let session = sessions.create_session(request).await.unwrap().into_inner();
        let request = CreateMemberRequest {
            parent: "projects/default".into(),
            member: Some(Member {
                email: "bob@example.org".into(),
                role: ProjectRole::Viewer.into(),
                ..Member::default()
            }),
            ..CreateMemberRequest::default()
        };
        let mut members = MemberServiceClient::new(ada.clone());
        let member = members.create_member(request).await.unwrap().into_inner();
        let request = CreateApiKeyRequest {
            parent: "projects/default".into(),
            api_key: Some(granary_proto::identity::v1::ApiKey {
                role: ProjectRole::Viewer.into(),
                ..Default::default()
            }),
        };
        let mut keys = ApiKeyServiceClient::new(ada);
        let made = keys.create_api_key(request).await.unwrap().into_inner();
        let key = made.api_key.unwrap();
        ledger.flush().await;
        let kept = list(&world, of("projects/default")).await.unwrap();
        let allowed = AuditVerdict::Allowed;
        let expected = [
            ("ada", "CreateSession", allowed, &*session.name),
            ("ada", "CreateMember", allowed, &*member.name),
            ("ada", "CreateApiKey", allowed, &*key.name),
        ];
        assert_eq!(sorted(calls(&kept)), sorted(expected.into()));
        assert!(!format!("{kept:?}").contains(&made.secret));
    }
}

/// A call of the Storage service for somebody.
fn for_ada<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    // {"issuer":"i","subject":"ada","email":null,"role":"administrator","expires":9}
    let whose = "eyJpc3N1ZXIiOiJpIiwic3ViamVjdCI6ImFkYSIsImVtYWlsIjpudWxsLCJyb2xlIjoiYWRtaW5pc3RyYXRvciIsImV4cGlyZXMiOjl9";
    request
        .metadata_mut()
        .insert("granary-on-behalf-of", whose.parse().unwrap());
    request
}

fn named(entries: &[AuditEntry]) -> Vec<(&str, i32)> {
    let named = entries.iter().rev();
    named
        .map(|entry| (entry.resource.as_str(), entry.item_count))
        .collect()
}

#[tokio::test]
async fn a_batch_is_kept_with_what_it_is_about_and_how_much_that_is() {
    for world in World::each().await {
        let session = world.session("s", Default::default()).await.name;
        let ledger = world.ledger();
        let storage = token(&world, "service:storage", Some(Role::Service));
        let mut assets = AssetServiceClient::new(world.link_recorded(storage, &ledger));
        let mut register = async |paths: &[&str]| {
            let request = BatchCreateAssetsRequest {
                parent: session.clone(),
                assets: paths.iter().map(|path| asset(path)).collect(),
            };
            let made = assets.batch_create_assets(for_ada(request)).await.unwrap();
            // One after another, so that their order is known.
            ledger.flush().await;
            let names = made.into_inner().assets.into_iter();
            names.map(|asset| asset.name).collect::<Vec<_>>()
        };
        let one = register(&["a"]).await.remove(0);
        let two = register(&["b", "c"]).await;
        let mut tell = async |names: &[&str]| {
            let stored = |name: &&str| update(name, AssetEvent::Stored);
            let request = BatchUpdateAssetStatesRequest {
                parent: "projects/default".into(),
                updates: names.iter().map(stored).collect(),
            };
            let told = assets.batch_update_asset_states(for_ada(request)).await;
            ledger.flush().await;
            told.is_ok()
        };
        tell(&[&one]).await;
        tell(&[&two[0], &two[1]]).await;
        // What it says of other projects is in no log of theirs.
        tell(&["projects/other/datasets/d/assets/a"]).await;
        let kept = list(&world, of("projects/default")).await.unwrap();
        let mut seen = named(&kept);
        let mut expected = [
            (one.as_str(), 0),
            (session.as_str(), 2),
            (one.as_str(), 0),
            (DATASET, 2),
            ("projects/default", 0),
        ];
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected);
        assert_eq!(list(&world, of("projects/-")).await.unwrap().len(), 5);
    }
}

async fn of_key(world: &World) -> (String, TokenSource) {
    let made = new_key(world).await;
    let request = ExchangeApiKeyRequest {
        secret: made.secret,
    };
    let answer = world.tokens().exchange_api_key(request).await.unwrap();
    let token = TokenSource::fixed(&answer.into_inner().token).unwrap();
    (made.api_key.unwrap().name, token)
}

#[tokio::test]
async fn owners_see_what_their_keys_try_elsewhere_and_nothing_else_of_there() {
    for world in World::each().await {
        for id in ["other", "third"] {
            world.project(id).await;
        }
        world.dataset("other", "secret").await;
        let ledger = world.ledger();
        let (key, secret) = of_key(&world).await;
        let machine = world.link_recorded(secret, &ledger);
        let admin = token(&world, "ada", Some(Role::Administrator));
        let admin = world.link_recorded(admin, &ledger);
        create_dataset(&machine, "projects/default", "own")
            .await
            .unwrap();
        create_dataset(&admin, "projects/other", "theirs")
            .await
            .unwrap();
        for parent in ["projects/other", "projects/nowhere"] {
            refused(create_dataset(&machine, parent, "x").await, Code::NotFound);
        }
        ledger.flush().await;
        let owner = async |project: &str, subject: &str| {
            let token = member_token(&world, project, subject, ProjectRole::Owner).await;
            AuditServiceClient::new(world.link_with(token))
        };
        let seen = async |owner: &mut AuditServiceClient<Link>, request| {
            let answer = owner.list_audit_entries(request).await;
            answer.unwrap().into_inner().entries
        };
        let mut olga = owner("projects/default", "olga").await;
        let entries = seen(&mut olga, of("projects/default")).await;
        use AuditVerdict::{Allowed, Denied};
        let tries = [
            (&*key, "CreateDataset", Denied, "projects/nowhere"),
            (&*key, "CreateDataset", Denied, "projects/other"),
        ];
        let own = "projects/default/datasets/own";
        let mut expected = vec![(&*key, "CreateDataset", Allowed, own)];
        expected.extend(tries);
        assert_eq!(sorted(calls(&entries)), sorted(expected));
        let denied = ListAuditEntriesRequest {
            verdict: Denied.into(),
            subject: key.clone(),
            ..of("projects/default")
        };
        assert_eq!(
            sorted(calls(&seen(&mut olga, denied).await)),
            sorted(tries.into())
        );
        let mut otto = owner("projects/other", "otto").await;
        let entries = seen(&mut otto, of("projects/other")).await;
        let expected = [
            (
                "ada",
                "CreateDataset",
                Allowed,
                "projects/other/datasets/theirs",
            ),
            (&*key, "CreateDataset", Denied, "projects/other"),
        ];
        assert_eq!(sorted(calls(&entries)), sorted(expected.into()));
        let mut tina = owner("projects/third", "tina").await;
        assert!(seen(&mut tina, of("projects/third")).await.is_empty());
    }
}

#[tokio::test]
async fn what_services_do_elsewhere_for_a_key_is_not_its_projects() {
    for world in World::each().await {
        let entry = |id: &str, subject: &str, whose: &str, resource: &str| AuditEntry {
            id: id.into(),
            time: Some(prost_types::Timestamp::default()),
            subject: subject.into(),
            on_behalf_of: whose.into(),
            resource: resource.into(),
            verdict: AuditVerdict::Denied.into(),
            ..AuditEntry::default()
        };
        let key = "projects/default/apiKeys/k1";
        let entries = vec![
            entry("a", "service:job", key, "projects/other/datasets/d"),
            entry("b", key, "", "projects/other/datasets/d"),
            entry("c", "projects/default/apiKeys/", "", "projects/other"),
            entry("d", key, "", &session_name("s")),
        ];
        crate::audit::store(&world, entries).await.unwrap();
        let all = list(&world, of("projects/default")).await.unwrap();
        let ids: Vec<_> = all.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["d", "b"]);
        let mut page = ListAuditEntriesRequest {
            page_size: 1,
            ..of("projects/default")
        };
        for id in ["d", "b"] {
            let answer = world.audit().list_audit_entries(page.clone()).await;
            let answer = answer.unwrap().into_inner();
            assert_eq!(answer.entries[0].id, id);
            page.page_token = answer.next_page_token;
        }
    }
}
