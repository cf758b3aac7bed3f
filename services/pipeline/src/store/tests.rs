//! The queue and what is written under a lease, on SQLite.

use std::collections::HashSet;

use granary_core::{
    Error,
    name::{PipelineName, SessionName},
};
use granary_proto::pipeline::v1::RunState;
use granary_runtime::{
    db::{DatabaseUrl, Db, commit},
    trace::Parent,
};
use sea_orm::Value;
use tempfile::TempDir;

use super::{
    all, cursor, get,
    pipelines::{self, PipelineRow},
    runs,
    works::{self, Completed, Tries},
    write::{self, Write},
};
use crate::migration::Migrator;

pub(crate) async fn database() -> (TempDir, Db) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open::<Migrator>(&DatabaseUrl::Sqlite(folder.path().into()), "pipeline")
        .await
        .unwrap();
    (folder, db)
}

/// How SQLite would answer a query with so many JSON parameters.
pub(super) async fn plan(db: &Db, sql: &str, parameters: usize) -> String {
    let values = vec![Value::from("[]"); parameters];
    let rows = all(db.reader(), format!("EXPLAIN QUERY PLAN {sql}"), values)
        .await
        .unwrap();
    rows.iter()
        .map(|row| get::<String>(row, "detail").unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

pub(crate) fn session(id: &str) -> SessionName {
    SessionName::new("p", "raw", id).unwrap()
}

pub(crate) async fn apply(db: &Db, version: i64) {
    let row = PipelineRow {
        name: PipelineName::new("p", "images").unwrap(),
        version,
        digest: version.to_string(),
        definition: vec![],
        create_time: 1,
        update_time: 1,
    };
    let tx = db.begin().await.unwrap();
    pipelines::save(&tx, &row, "raw", &[]).await.unwrap();
    commit(tx).await.unwrap();
}

async fn states(db: &Db, id: &str) -> Vec<(i64, RunState)> {
    let found = runs::of_session(db.reader(), &session(id)).await.unwrap();
    found
        .into_iter()
        .map(|run| (run.version, run.state))
        .collect()
}

#[tokio::test]
async fn an_event_that_comes_again_changes_nothing() {
    let (_folder, db) = database().await;
    apply(&db, 1).await;
    let both = ["a", "b"].map(|id| session(id).into());
    assert_eq!(works::enqueue(&db, &both, "t1", 10).await.unwrap(), 2);
    // In between, a new version was applied: it is for what completes from now on.
    apply(&db, 2).await;
    assert_eq!(
        works::enqueue(&db, &[session("b").into(), session("c").into()], "t2", 11)
            .await
            .unwrap(),
        1
    );
    assert_eq!(states(&db, "b").await, [(1, RunState::Queued)]);
    assert_eq!(states(&db, "c").await, [(2, RunState::Queued)]);
    assert_eq!(
        cursor::load(db.reader()).await.unwrap().as_deref(),
        Some("t2")
    );
}

#[tokio::test]
async fn the_call_that_completed_a_session_is_known_to_its_runs_and_to_whoever_works_on_it() {
    let (_folder, db) = database().await;
    apply(&db, 1).await;
    let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = Completed {
        session: session("a"),
        trace: Parent::parse(text),
    };
    let given = [traced, session("b").into()];
    works::enqueue(&db, &given, "t", 10).await.unwrap();
    for (id, trace) in [("a", text), ("b", "")] {
        let runs = runs::of_session(db.reader(), &session(id)).await.unwrap();
        assert_eq!(runs[0].trace, trace);
    }
    let mut claimed = works::claim(&db, "one", 5, 10, 100).await.unwrap();
    claimed.sort_by_key(|work| work.session.to_string());
    let traces: Vec<_> = claimed.into_iter().map(|work| work.trace).collect();
    assert_eq!(traces, [Parent::parse(text), None]);
}

#[tokio::test]
async fn a_session_is_held_by_one_until_its_lease_ends() {
    let (_folder, db) = database().await;
    apply(&db, 1).await;
    works::enqueue(&db, &[session("a").into()], "t", 10)
        .await
        .unwrap();
    let first = works::claim(&db, "one", 5, 10, 100).await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(states(&db, "a").await, [(1, RunState::Running)]);
    assert!(
        works::claim(&db, "two", 5, 50, 150)
            .await
            .unwrap()
            .is_empty()
    );
    let lease = (session("a"), first[0].lease);
    assert_eq!(
        works::renew(&db, "one", std::slice::from_ref(&lease), 200)
            .await
            .unwrap(),
        HashSet::from([lease])
    );
    assert!(
        works::claim(&db, "two", 5, 150, 250)
            .await
            .unwrap()
            .is_empty()
    );
    let second = works::claim(&db, "two", 5, 200, 300).await.unwrap();

    // What the first one writes late is refused, alone.
    let results = write::apply(
        &db,
        vec![
            Write::end(&first[0], vec![]),
            Write::end(&second[0], vec![]),
        ],
        210,
    )
    .await
    .unwrap();
    assert!(
        matches!(results[0], Err(Error::Aborted { .. })),
        "{:?}",
        results[0]
    );
    assert!(results[1].is_ok());
    assert_eq!(works::next_due(&db).await.unwrap(), None);
    assert!(
        works::claim(&db, "three", 5, 1000, 2000)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_given_back_is_taken_again_when_it_is_due() {
    let (_folder, db) = database().await;
    works::enqueue(&db, &[session("a").into()], "t", 10)
        .await
        .unwrap();
    let work = works::claim(&db, "one", 5, 10, 100)
        .await
        .unwrap()
        .remove(0);
    let tries = Tries {
        attempts: 3,
        strikes: 2,
    };
    works::release(&db, &work, tries, 60).await.unwrap();
    assert_eq!(works::next_due(&db).await.unwrap(), Some(60));
    assert!(
        works::claim(&db, "one", 5, 59, 100)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        works::claim(&db, "one", 5, 60, 100).await.unwrap()[0].tries,
        tries
    );
}

#[tokio::test]
async fn the_only_process_takes_over_at_once_what_an_earlier_one_held() {
    let (_folder, db) = database().await;
    works::enqueue(&db, &[session("a").into()], "t", 10)
        .await
        .unwrap();
    works::claim(&db, "dead", 5, 10, 1_000_000).await.unwrap();
    works::take_over(&db, 20).await.unwrap();
    assert_eq!(works::claim(&db, "new", 5, 20, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lease_that_was_lost_is_not_renewed_whoever_has_the_session_now() {
    let (_folder, db) = database().await;
    let all = ["a", "b", "c"].map(|id| session(id).into());
    works::enqueue(&db, &all, "t", 10).await.unwrap();
    let first = works::claim(&db, "one", 5, 10, 100).await.unwrap();
    let leases: Vec<_> = first
        .iter()
        .map(|work| (work.session.clone(), work.lease))
        .collect();
    // Their time ran out: one is taken again by the same process, one by another, one by nobody.
    let mut taken = works::claim(&db, "one", 1, 100, 300).await.unwrap();
    taken.extend(works::claim(&db, "two", 1, 100, 300).await.unwrap());
    let left = leases
        .iter()
        .filter(|lease| taken.iter().all(|work| work.session != lease.0));
    assert_eq!(
        works::renew(&db, "one", &leases, 400).await.unwrap(),
        left.cloned().collect()
    );
}
