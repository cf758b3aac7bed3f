//! What is put into a database from manifests, which are input: whoever may write to a bucket may have written them.

use std::sync::Arc;

use granary_core::{
    clock::SystemClock,
    layout::DatasetKind,
    name::{DatasetName, ProjectName, SessionName},
};
use granary_metadata::restore::{File, Found, Mode, Outcome, Restorer, Standing};
use granary_proto::{
    convert::{timestamp, wire_attributes},
    metadata::v1::{Asset, AssetState, Session, SessionState},
};
use granary_runtime::db::{self, DatabaseUrl};
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use crate::database::{fresh_postgres, postgres};

struct Bench {
    database: DatabaseUrl,
    _folder: TempDir,
}

impl Bench {
    async fn each() -> Vec<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec![Self {
            database: DatabaseUrl::Sqlite(folder.path().to_owned()),
            _folder: folder,
        }];
        if postgres().is_some() {
            all.push(Self {
                database: fresh_postgres().await,
                _folder: tempfile::tempdir().unwrap(),
            });
        }
        all
    }

    async fn open(&self, dry: bool, take_newer: bool) -> Restorer {
        let mode = Mode { dry, take_newer };
        let clock = Arc::new(SystemClock);
        let restorer = Restorer::open(&self.database, clock, mode).await.unwrap();
        let dataset = DatasetName::new("p", "d").unwrap();
        restorer.project(&dataset.parent(), None).await.unwrap();
        restorer
            .dataset(&dataset, None, DatasetKind::Config)
            .await
            .unwrap();
        restorer
    }

    /// Takes the last migration back, as far as anybody can tell.
    async fn make_older(&self) {
        let url = match &self.database {
            DatabaseUrl::Sqlite(folder) => format!("sqlite:{}/metadata.db", folder.display()),
            DatabaseUrl::Postgres(url) => url.reveal().to_owned(),
        };
        let db = db::connect(&url).await.unwrap();
        if let DatabaseUrl::Postgres(_) = &self.database {
            db.execute_unprepared("SET search_path TO metadata")
                .await
                .unwrap();
        }
        let last = "DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations)";
        let deleted = db.execute_unprepared(last).await.unwrap();
        assert_eq!(deleted.rows_affected(), 1);
        db.close().await.unwrap();
    }
}

fn name(id: &str) -> SessionName {
    SessionName::new("p", "d", id).unwrap()
}

fn session(id: &str, state: SessionState, asset_count: i64) -> Session {
    let time = Some(timestamp(time::macros::datetime!(2021-03-01 12:00 UTC)));
    Session {
        name: name(id).to_string(),
        state: state.into(),
        attributes: wire_attributes([("fatigue".to_owned(), 4.0.into())].into()),
        asset_count,
        create_time: time,
        complete_time: time,
        finish_time: (state != SessionState::Completed).then_some(time).flatten(),
        ..Session::default()
    }
}

fn asset(id: &str, path: &str) -> Asset {
    let time = Some(timestamp(time::macros::datetime!(2021-03-01 12:00 UTC)));
    Asset {
        name: name(id).asset(path).to_string(),
        session: name(id).to_string(),
        path: path.into(),
        media_type: "text/plain".into(),
        size_bytes: 3,
        sha256: "ab".repeat(32),
        state: AssetState::Ready.into(),
        create_time: time,
        update_time: time,
        ..Asset::default()
    }
}

fn file(path: &str) -> File {
    File {
        path: path.into(),
        size: 1,
        sha256: "ab".repeat(32),
        media_type: "a/b".into(),
        arrived: 0,
    }
}

async fn put(
    restorer: &Restorer,
    session: Session,
    assets: Vec<Asset>,
) -> granary_core::Result<Outcome> {
    let mut restoring = restorer.begin(DatasetKind::Config, session).await?;
    for asset in assets {
        restoring.add(vec![asset]).await?;
    }
    restoring.finish().await
}

fn known(differences: &[&str], behind: bool) -> Outcome {
    let differences = differences.iter().map(ToString::to_string).collect();
    Outcome::Known {
        differences,
        behind,
    }
}

#[tokio::test]
async fn what_is_known_stays_and_its_differences_are_said() {
    for bench in Bench::each().await {
        let restorer = bench.open(false, false).await;
        let processed = session("s", SessionState::Processed, 2);
        let assets = vec![asset("s", "a"), asset("s", "b")];
        for expected in [Outcome::Made, known(&[], false)] {
            let put = put(&restorer, processed.clone(), assets.clone());
            assert_eq!(put.await.unwrap(), expected);
        }
        let mut other = assets.clone();
        other[1].size_bytes = 4;
        other[1].sha256 = "cd".repeat(32);
        let differs = put(&restorer, processed.clone(), other).await.unwrap();
        assert_eq!(differs, known(&["b: sha256, size_bytes"], false));
        let mut otherwise = processed;
        otherwise.producer = "projects/p/jobs/j".into();
        let differs = put(&restorer, otherwise, assets).await.unwrap();
        assert_eq!(differs, known(&["producer"], false));
        let standing = restorer.standing(&name("s")).await.unwrap();
        assert_eq!(standing, (Standing::Closed, 2));
        let named = ProjectName::new("p").unwrap();
        let again = restorer.project(&named, None).await.unwrap();
        assert_eq!(again, Found::Known(vec![]));
        restorer.close().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_there_of_a_session_that_did_not_come_to_its_end() {
    for bench in Bench::each().await {
        let restorer = bench.open(false, false).await;
        let all = session("s", SessionState::Processed, 3);
        let few = put(
            &restorer,
            all.clone(),
            vec![asset("s", "a"), asset("s", "b")],
        )
        .await;
        let error = few.unwrap_err().to_string();
        assert!(error.contains("expected 3 assets"), "{error}");
        let mut begun = restorer.begin(DatasetKind::Config, all).await.unwrap();
        begun.add(vec![asset("s", "a")]).await.unwrap();
        drop(begun);
        let standing = restorer.standing(&name("s")).await.unwrap();
        assert_eq!(standing, (Standing::Unknown, 0));
        let seen = restorer.seen(&name("s"), &["a", "b"]).await.unwrap();
        assert_eq!((seen.unknown.len(), seen.arrived), (2, 0));
        restorer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    for bench in Bench::each().await {
        let restorer = bench.open(true, false).await;
        for _ in 0..2 {
            let dry = session("s", SessionState::Completed, 1);
            let made = put(&restorer, dry, vec![asset("s", "a")]).await.unwrap();
            assert_eq!(made, Outcome::Made);
        }
        let open = name("open");
        for _ in 0..2 {
            let added = restorer.add_files(&open, DatasetKind::Config, vec![file("a")]);
            assert_eq!(added.await.unwrap(), (1, 1));
        }
        let standing = restorer.standing(&open).await.unwrap();
        assert_eq!(standing, (Standing::Unknown, 0));
        let named = ProjectName::new("p").unwrap();
        assert_eq!(restorer.project(&named, None).await.unwrap(), Found::Made);
        restorer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_dry_run_looks_at_an_empty_database_where_there_is_none() {
    for bench in Bench::each().await {
        let mode = Mode {
            dry: true,
            take_newer: false,
        };
        for _ in 0..2 {
            let dry = bench.open(true, false).await;
            assert_eq!(dry.arrived(None, None).await.unwrap(), []);
            dry.close().await.unwrap();
        }
        if let DatabaseUrl::Sqlite(folder) = &bench.database {
            assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
        }
        bench.open(false, false).await.close().await.unwrap();
        bench.make_older().await;
        let older = Restorer::open(&bench.database, Arc::new(SystemClock), mode).await;
        let said = older.unwrap_err().to_string();
        assert!(said.contains("run granary admin migrate first"), "{said}");
    }
}

#[tokio::test]
async fn sessions_of_which_files_arrived_are_listed_by_name() {
    for bench in Bench::each().await {
        let restorer = bench.open(false, false).await;
        let begun = restorer.begin(
            DatasetKind::Config,
            session("c", SessionState::Completed, 0),
        );
        let outcome = begun.await.unwrap().finish().await.unwrap();
        assert_eq!(outcome, Outcome::Made);
        let (b, a) = (session("b", SessionState::Processed, 1), name("a"));
        put(&restorer, b, vec![asset("b", "x")]).await.unwrap();
        let added = restorer.add_files(&a, DatasetKind::Config, vec![file("y"), file("z")]);
        assert_eq!(added.await.unwrap(), (2, 2));
        let standing = restorer.standing(&a).await.unwrap();
        assert_eq!(standing, (Standing::Open, 2));
        let seen = restorer.seen(&a, &["x", "y"]).await.unwrap();
        assert_eq!(seen.unknown, [a.asset("x")].into());
        assert_eq!(seen.arrived, 1);

        let both = [a.clone(), name("b")].map(|name| (name, DatasetKind::Config));
        assert_eq!(restorer.arrived(None, None).await.unwrap(), both);
        assert_eq!(restorer.arrived(None, Some(&a)).await.unwrap(), both[1..]);
        let [here, other] = ["p", "q"].map(|id| ProjectName::new(id).unwrap());
        assert_eq!(restorer.arrived(Some(&here), None).await.unwrap(), both);
        assert_eq!(restorer.arrived(Some(&other), None).await.unwrap(), []);
        assert!(restorer.knows(&here).await.unwrap());
        assert!(!restorer.knows(&other).await.unwrap());
        restorer.close().await.unwrap();
    }
}

#[tokio::test]
async fn hostile_manifests_are_refused_by_field() {
    let restorer = Bench::each().await.remove(0);
    let restorer = restorer.open(false, false).await;
    let refused = async |change: &dyn Fn(&mut Session, &mut Asset), field: &str| {
        let mut wrong = (session("s", SessionState::Processed, 1), asset("s", "a"));
        change(&mut wrong.0, &mut wrong.1);
        let error = put(&restorer, wrong.0, vec![wrong.1]).await.unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(&format!("{field}: ")), "{field}: {error}");
    };
    let foreign = "projects/q/datasets/d/assets/a";
    refused(&|s, _| s.state = SessionState::Open.into(), "state").await;
    refused(&|s, _| s.create_time = None, "create_time").await;
    refused(&|s, _| s.finish_time = None, "finish_time").await;
    refused(&|s, _| s.metadata_path = "../x".into(), "metadata_path").await;
    refused(
        &|s, _| s.derived_from = vec![foreign.into()],
        "derived_from[0]",
    )
    .await;
    refused(&|s, _| s.producer = "projects/q/jobs/j".into(), "producer").await;
    refused(&|_, a| a.state = AssetState::Pending.into(), "a.state").await;
    refused(&|_, a| a.size_bytes = -1, "a.size_bytes").await;
    refused(&|_, a| a.sha256 = "x".into(), "a.sha256").await;
    refused(&|_, a| a.media_type.clear(), "a.media_type").await;
    refused(
        &|_, a| a.derived_from = vec![foreign.into()],
        "a.derived_from[0]",
    )
    .await;
    let standing = restorer.standing(&name("s")).await.unwrap();
    assert_eq!(standing, (Standing::Unknown, 0));
}

#[tokio::test]
async fn newer_manifests_are_taken_where_that_is_wanted_and_bytes_are_the_same() {
    for bench in Bench::each().await {
        let restorer = bench.open(false, false).await;
        let assets = || vec![asset("s", "a"), asset("s", "b")];
        let completed = session("s", SessionState::Completed, 2);
        put(&restorer, completed, assets()).await.unwrap();
        let failed = session("s", SessionState::Failed, 2);
        let said = "COMPLETED in the database, FAILED in its manifest";
        let behind = put(&restorer, failed.clone(), assets()).await.unwrap();
        assert_eq!(behind, known(&[said], true));
        restorer.close().await.unwrap();

        let restorer = bench.open(false, true).await;
        let mut other = assets();
        other[0].sha256 = "cd".repeat(32);
        let kept = put(&restorer, failed.clone(), other).await.unwrap();
        assert_eq!(kept, known(&["a: sha256"], true));
        let fewer = session("s", SessionState::Failed, 1);
        let kept = put(&restorer, fewer, vec![asset("s", "a")]).await.unwrap();
        let said = "1 assets that its manifest does not list";
        assert_eq!(kept, known(&[said], true));
        let taken = put(&restorer, failed.clone(), assets()).await.unwrap();
        assert_eq!(taken, Outcome::Newer);
        let again = put(&restorer, failed, assets()).await.unwrap();
        assert_eq!(again, known(&[], false));
        restorer.close().await.unwrap();
    }
}
