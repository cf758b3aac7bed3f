//! The audit log: what is stored and how it is read.

use granary_core::clock::Clock as _;
use granary_proto::{
    convert::timestamp,
    identity::v1::{
        AuditEntry, AuditVerdict, BatchCreateAuditEntriesRequest, ListAuditEntriesRequest,
        ProjectRole, audit_service_client::AuditServiceClient,
    },
};
use granary_runtime::{Link, auth::Role};
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::{
    recorded::member_token,
    world::{World, blamed, refused},
};

fn services(world: &World) -> AuditServiceClient<Link> {
    AuditServiceClient::new(world.link("service:ledger", Role::Service))
}

pub(crate) fn of(parent: &str) -> ListAuditEntriesRequest {
    ListAuditEntriesRequest {
        parent: parent.into(),
        ..ListAuditEntriesRequest::default()
    }
}

pub(crate) async fn list(
    world: &World,
    request: ListAuditEntriesRequest,
) -> Result<Vec<AuditEntry>, Status> {
    let answer = world.audit().list_audit_entries(request).await?;
    Ok(answer.into_inner().entries)
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn entry(id: &str, seconds: i64, subject: &str, resource: &str) -> AuditEntry {
    AuditEntry {
        id: id.into(),
        time: at(seconds),
        subject: subject.into(),
        resource: resource.into(),
        verdict: AuditVerdict::Allowed.into(),
        ..AuditEntry::default()
    }
}

pub(crate) async fn store(world: &World, entries: Vec<AuditEntry>) -> Result<(), Status> {
    let request = BatchCreateAuditEntriesRequest { entries };
    services(world)
        .batch_create_audit_entries(request)
        .await
        .map(drop)
}

fn ids(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

#[tokio::test]
async fn entries_come_newest_first_and_page_by_page() {
    for world in World::each().await {
        let entries = (0..25).map(|n| {
            // Several in one second, whose ids tell them apart.
            entry(
                &format!("e{n:02}"),
                1000 + n / 3,
                "ada",
                "projects/default/x",
            )
        });
        store(&world, entries.collect()).await.unwrap();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let request = ListAuditEntriesRequest {
                page_size: 4,
                page_token: token,
                ..of("projects/default")
            };
            let page = world
                .audit()
                .list_audit_entries(request)
                .await
                .unwrap()
                .into_inner();
            seen.extend(page.entries);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let expected: Vec<_> = (0..25).rev().map(|n| format!("e{n:02}")).collect();
        assert_eq!(ids(&seen), expected);
    }
}

#[tokio::test]
async fn filters_narrow_what_is_listed_within_the_project() {
    for world in World::each().await {
        world.project("other").await;
        let denied = |entry| AuditEntry {
            verdict: AuditVerdict::Denied.into(),
            ..entry
        };
        let entries = vec![
            entry("a", 100, "ada", "projects/default"),
            denied(entry("b", 200, "bob", "projects/default/datasets/d")),
            entry("c", 300, "bob", "projects/other/datasets/d"),
            denied(entry("d", 400, "", "")),
            entry("e", 500, "projects/other/apiKeys/k1", "workers/w"),
        ];
        store(&world, entries).await.unwrap();
        let found = async |request| {
            let found = list(&world, request).await.unwrap();
            found
                .into_iter()
                .map(|entry| entry.id)
                .collect::<Vec<_>>()
                .join("")
        };
        let all = || of("projects/-");
        let subject = |subject: &str| ListAuditEntriesRequest {
            subject: subject.into(),
            ..all()
        };
        let verdict = |verdict: AuditVerdict, parent| ListAuditEntriesRequest {
            verdict: verdict.into(),
            ..of(parent)
        };
        assert_eq!(found(all()).await, "edcba");
        assert_eq!(found(of("projects/default")).await, "ba");
        assert_eq!(found(of("projects/other")).await, "ec");
        assert_eq!(found(subject("bob")).await, "cb");
        let request = ListAuditEntriesRequest {
            subject: "bob".into(),
            ..of("projects/default")
        };
        assert_eq!(found(request).await, "b");
        assert_eq!(
            found(verdict(AuditVerdict::Denied, "projects/-")).await,
            "db"
        );
        assert_eq!(
            found(verdict(AuditVerdict::Denied, "projects/default")).await,
            "b"
        );
        assert_eq!(
            found(verdict(AuditVerdict::Allowed, "projects/default")).await,
            "a"
        );
        assert_eq!(found(verdict(AuditVerdict::Failed, "projects/-")).await, "");
        let between = ListAuditEntriesRequest {
            start_time: at(200),
            end_time: at(400),
            ..all()
        };
        assert_eq!(found(between).await, "cb");
    }
}

#[tokio::test]
async fn a_repeated_batch_adds_nothing_and_a_wrong_entry_is_named() {
    for world in World::each().await {
        let entries = vec![entry("a", 1, "ada", ""), entry("b", 2, "ada", "")];
        for _ in 0..3 {
            store(&world, entries.clone()).await.unwrap();
        }
        assert_eq!(
            ids(&list(&world, of("projects/-")).await.unwrap()),
            ["b", "a"]
        );
        let wrong = |change: fn(&mut AuditEntry)| {
            let mut wrong = entry("c", 3, "ada", "");
            change(&mut wrong);
            store(&world, vec![entry("z", 9, "", ""), wrong])
        };
        assert_eq!(blamed(wrong(|e| e.id.clear()).await), "entries[1].id");
        assert_eq!(blamed(wrong(|e| e.time = None).await), "entries[1].time");
        assert_eq!(blamed(wrong(|e| e.verdict = 0).await), "entries[1].verdict");
        assert_eq!(
            blamed(wrong(|e| e.resource = "a\0b".into()).await),
            "entries[1].resource"
        );
        assert_eq!(
            blamed(wrong(|e| e.subject = "x".repeat(1025)).await),
            "entries[1].subject"
        );
        assert_eq!(blamed(store(&world, vec![]).await), "entries");
        assert_eq!(
            ids(&list(&world, of("projects/-")).await.unwrap()),
            ["b", "a"]
        );
        let wrong = ListAuditEntriesRequest {
            verdict: 99,
            ..of("projects/-")
        };
        assert_eq!(blamed(list(&world, wrong).await), "verdict");
        assert_eq!(blamed(list(&world, of("default")).await), "parent");
        refused(list(&world, of("projects/nowhere")).await, Code::NotFound);
    }
}

#[tokio::test]
async fn old_entries_go() {
    for world in World::each().await {
        let now = timestamp(world.clock.now()).seconds;
        let day = 24 * 3600;
        let mut entries: Vec<_> = (0..900)
            .map(|n| entry(&format!("o{n}"), n, "ada", ""))
            .collect();
        entries.push(entry("just", now - 90 * day + 1, "ada", ""));
        entries.push(entry("new", now, "ada", ""));
        store(&world, entries).await.unwrap();
        world.metadata.tick().await.unwrap();
        assert_eq!(
            ids(&list(&world, of("projects/-")).await.unwrap()),
            ["new", "just"]
        );
        world.clock.advance(time::Duration::days(1));
        world.metadata.tick().await.unwrap();
        assert_eq!(ids(&list(&world, of("projects/-")).await.unwrap()), ["new"]);
    }
}

#[tokio::test]
async fn owners_read_the_log_of_their_project_and_no_other() {
    for world in World::each().await {
        world.project("other").await;
        store(&world, vec![entry("a", 1, "ada", "projects/default")])
            .await
            .unwrap();
        let link = async |subject: &str, role| {
            let token = member_token(&world, "projects/default", subject, role).await;
            AuditServiceClient::new(world.link_with(token))
        };
        let mut owner = link("olga", ProjectRole::Owner).await;
        let entries = owner
            .list_audit_entries(of("projects/default"))
            .await
            .unwrap();
        assert_eq!(ids(&entries.into_inner().entries), ["a"]);
        refused(
            owner.list_audit_entries(of("projects/other")).await,
            Code::NotFound,
        );
        refused(
            owner.list_audit_entries(of("projects/-")).await,
            Code::NotFound,
        );
        let mut editor = link("edna", ProjectRole::Editor).await;
        let editors = editor.list_audit_entries(of("projects/default")).await;
        refused(editors, Code::PermissionDenied);
    }
}
