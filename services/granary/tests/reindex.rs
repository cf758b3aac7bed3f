//! A database that was lost is made anew from the buckets, on SQLite with the embedded store, and on PostgreSQL with an S3 server where the
//! environment says where they are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the program under test gets an environment of its own; what goes wrong is the end of the test"
)]

mod common;
mod recovery;

use std::path::Path;

use common::{finish, until};
use recovery::{Reindexed, World, worlds};
use serde_json::{Value as Json, json};
use tokio::io::BufReader;

#[tokio::test]
async fn everything_that_buckets_hold_comes_back_as_it_was() {
    for mut world in worlds().await {
        world.fill().await;
        let before = world.listed().await;
        let downloaded = world.downloaded("before").await;
        world.lose_database().await;

        let dry = world.reindex(&["--dry-run"]).await;
        let made = world.reindex(&[]).await;
        assert_eq!(made.summary["sessions"]["made"], before.sessions.len());
        assert_eq!(made.summary["assets"], before.assets.len());
        assert_eq!(made.summary["open_sessions"], 1);
        assert_eq!(made.findings, [] as [serde_json::Value; 0]);
        for part in ["projects", "datasets", "sessions", "assets", "bytes"] {
            assert_eq!(dry.summary[part], made.summary[part], "{part}");
        }
        let again = world.reindex(&[]).await;
        assert_eq!(again.summary["sessions"]["made"], 0);
        assert_eq!(again.summary["assets"], 0);
        assert_eq!(again.summary["sessions"]["known"], before.sessions.len());
        assert_eq!(again.findings, [] as [serde_json::Value; 0]);

        world.start().await;
        let after = world.listed().await;
        assert_eq!(after.projects, before.projects);
        assert_eq!(after.datasets, before.datasets);
        assert_eq!(after.closed_sessions(), before.closed_sessions());
        assert_eq!(after.closed_assets(), before.closed_assets());
        // Of what was not completed, what arrived is there; what else was said comes again with the rest.
        assert_eq!(after.open_files(), before.open_files());
        assert_eq!(after.quota, before.quota);
        assert_eq!(world.downloaded("after").await, downloaded);
        world.go_on_with_open_session().await;
    }
}

#[tokio::test]
async fn what_is_killed_half_way_goes_on_where_it_was() {
    for mut world in worlds().await {
        world.fill().await;
        let before = world.listed().await;
        // Between the datasets `recordings` and `settings`, and more to say of it than a pipe holds that nobody reads: there it stands.
        let name = "x".repeat(200);
        let strays = (0..500).map(|i| format!("default/s_{i:03}{name}/x"));
        world.strays(strays).await;
        world.lose_database().await;
        let mut child = world.reindexing(&[]).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        until(&mut stdout, "stray").await;
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().await.unwrap();
        let done = world.reindex(&[]).await;
        let sessions = &done.summary["sessions"];
        let [made, known] = ["made", "known"].map(|what| sessions[what].as_u64().unwrap());
        assert!(made > 0 && known > 0, "{sessions}");
        assert_eq!(made + known, before.sessions.len() as u64);
        world.start().await;
        let after = world.listed().await;
        assert_eq!(after.closed_sessions(), before.closed_sessions());
        assert_eq!(after.closed_assets(), before.closed_assets());
        assert_eq!(after.quota, before.quota);
    }
}

#[tokio::test]
async fn what_came_after_a_dump_is_picked_up_and_nothing_else_changes() {
    for mut world in worlds().await {
        world.fill().await;
        world.stop().await;
        world.dump().await;
        world.start().await;
        world.complete_open_session().await;
        world
            .send("recordings/later", &[("later.bin", b"later")])
            .await;
        world.manifests_written().await;
        let before = world.listed().await;
        world.restore_dump().await;

        // Nothing of it is there afterwards: the next run finds as much.
        let dry = world.reindex(&["--dry-run", "--take-newer"]).await;
        assert_eq!(dry.summary["sessions"]["made"], 3);
        assert_eq!(dry.summary["sessions"]["newer"], 1);
        let made = world.reindex(&[]).await;
        // The new one, and what pipelines made of it and of the one that was open.
        assert_eq!(made.summary["sessions"]["made"], 3);
        assert_eq!(made.summary["behind"], 1);
        assert_eq!(made.findings.len(), 1, "{:?}", made.findings);
        assert_eq!(made.findings[0]["finding"], "differs");
        assert_eq!(
            made.findings[0]["description"],
            "OPEN in the database, PROCESSED in its manifest: --take-newer takes it from there"
        );
        says_how_newer_ones_are_taken(&world).await;
        let taken = world.reindex(&["--take-newer"]).await;
        assert_eq!(taken.summary["sessions"]["newer"], 1);
        assert_eq!(taken.findings, [] as [serde_json::Value; 0]);
        world.start().await;
        let after = world.listed().await;
        assert_eq!(after.sessions, before.sessions);
        assert_eq!(after.assets, before.assets);
        assert_eq!(after.quota, before.quota);
    }
}

/// For people too, and before anything is done.
async fn says_how_newer_ones_are_taken(world: &World) {
    let dry = finish(world.reindexing(&["--dry-run"])).await.ok();
    for said in [
        "in its manifest: --take-newer takes it from there\n",
        "1 session further in their manifests than in the database: --take-newer takes them",
    ] {
        assert!(dry.contains(said), "{dry}");
    }
}

/// Puts objects that belong to nothing into a bucket of recordings, and takes others from it.
fn disorder(raw: &Path) {
    let put = |path: &str, text: &str| common::write(&raw.join(path), text);
    for path in STRAY {
        match path.ends_with('/') {
            true => put(&format!("{path}x"), "x"),
            false => put(path, "x"),
        }
    }
    // What is below comes back all the same.
    put("default/.granary/project.json", "{");
    // A session's manifest that leads to another.
    let recordings = raw.join("default/recordings");
    let manifest = recordings.join("first/.granary/session.json");
    let text = std::fs::read_to_string(manifest).unwrap();
    put("default/recordings/hostile/.granary/session.json", &text);
    put("default/recordings/hostile/a.bin", "x");
    std::fs::remove_file(recordings.join("second/b.bin")).unwrap();
    put("default/recordings/second/c.bin", "longer than it was");
}

const STRAY: [&str; 9] = [
    "No Project/",
    "alone",
    "default/.granary/other.json",
    "default/No_Dataset/",
    "default/alone",
    "default/recordings/-no-session/",
    "default/recordings/alone",
    "default/recordings/first/.granary/other",
    "default/recordings/first/more.bin",
];

/// Where findings of a kind are, without the bucket of recordings.
fn places(found: &Reindexed, kind: &str) -> Vec<String> {
    let of_kind = found.findings.iter().filter(|f| f["finding"] == kind);
    let place = |finding: &Json| finding["place"].as_str().unwrap().to_owned();
    let mut places: Vec<_> = of_kind
        .map(|finding| place(finding).replace("s3://granary-raw/", ""))
        .collect();
    places.sort();
    places
}

#[tokio::test]
async fn what_fits_nothing_or_cannot_be_read_is_said_and_the_rest_comes_back() {
    let mut world = World::embedded().await;
    world.fill().await;
    let before = world.listed().await;
    world.lose_database().await;
    let raw = world.path("data/objects/granary-raw");
    disorder(&raw);

    let found = world.reindex_incomplete(&[]).await;
    assert_eq!(places(&found, "stray"), STRAY);
    assert_eq!(
        places(&found, "unreadable"),
        [
            "projects/default",
            "projects/default/datasets/recordings/sessions/hostile"
        ]
    );
    assert_eq!(
        places(&found, "missing"),
        [
            "default/recordings/second/b.bin",
            "default/recordings/second/c.bin"
        ]
    );
    assert_eq!(found.summary["sessions"]["made"], before.sessions.len());
    assert_eq!(found.summary["findings"]["stray"], 9);
    // Listed, and never deleted.
    assert!(raw.join("default/recordings/first/more.bin").exists());
    world.start().await;
    let after = world.listed().await;
    assert_eq!(after.closed_sessions(), before.closed_sessions());
    assert_eq!(after.closed_assets(), before.closed_assets());
}

#[tokio::test]
async fn sessions_that_only_the_database_knows_are_missing() {
    for mut world in worlds().await {
        world.fill().await;
        world.stop().await;
        world.remove("default/recordings/second/").await;
        world.remove("default/recordings/open/small.bin").await;
        let all: &[&str] = &[];
        for flags in [all, &["--dry-run"], &["--project", "default"]] {
            let found = world.reindex_incomplete(flags).await;
            let lost: Vec<_> = found.findings.iter().map(said).collect();
            let sessions = "projects/default/datasets/recordings/sessions";
            let open = format!("{sessions}/open: 1 of 2 files that have arrived");
            let second = format!("{sessions}/second: nothing of it lies in the bucket");
            assert_eq!(lost.len(), 2, "{lost:?}");
            assert!(lost[0].starts_with(&open), "{lost:?}");
            assert!(lost[1].starts_with(&second), "{lost:?}");
            assert_eq!(found.summary["findings"]["missing"], 2);
        }
        let elsewhere = finish(world.reindexing(&["--project", "nosuch"])).await;
        let elsewhere = elsewhere.failed(1, "projects/nosuch not found");
        assert!(
            elsewhere
                .stderr
                .contains("nothing of it lies in the bucket")
        );
        assert_eq!(elsewhere.stdout, "");
    }
}

/// A finding in one line.
fn said(finding: &Json) -> String {
    let text = |field: &str| finding[field].as_str().unwrap().to_owned();
    format!("{}: {}", text("place"), text("description"))
}

#[tokio::test]
async fn a_dry_run_makes_nothing() {
    for mut world in worlds().await {
        world.fill().await;
        world.lose_database().await;
        let before = world.everything_made().await;
        let dry = world.reindex(&["--dry-run"]).await;
        assert!(dry.summary["sessions"]["made"].as_u64().unwrap() > 3);
        assert_eq!(world.everything_made().await, before);
    }
    let world = World::embedded().await;
    let empty = world.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let mut command = world.reindexing(&["--dry-run"]);
    command.env("GRANARY_DATA_DIR", &empty);
    finish(command).await.failed(1, "a dry run makes nothing");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
}

#[tokio::test]
async fn a_store_that_refuses_the_keys_or_lacks_the_buckets_is_said_to_do_so() {
    for world in worlds().await {
        let database = format!("sqlite:{}", world.path("elsewhere").display());
        let run = async |name: &str, value: &str| {
            let mut command = world.reindexing(&[]);
            command
                .envs(world.store_outside())
                .env("GRANARY_DATABASE_URL", &database)
                .env(name, value);
            finish(command).await
        };
        let refused = run("AWS_SECRET_ACCESS_KEY", "another").await;
        let refused = refused.failed(1, "it refuses these keys (403 SignatureDoesNotMatch)");
        assert!(refused.stderr.contains("check AWS_ACCESS_KEY_ID"));
        assert!(!refused.stderr.contains("defect"), "{refused:?}");
        let endpoint = world.store_outside()[0].1.clone();
        let (_, endpoint) = endpoint.split_once('?').unwrap();
        let nowhere = run("GRANARY_OBJECT_STORE", &format!("s3://nowhere?{endpoint}")).await;
        nowhere.failed(1, "no bucket named nowhere-raw is there: check the prefix");
        run("RUST_BACKTRACE", "0").await.ok();
    }
}

#[tokio::test]
async fn one_project_is_made_anew_and_others_are_left() {
    let mut world = World::embedded().await;
    world.run(&["project", "create", "lab"]).await.ok();
    world.write(&[("one/a.bin", "a")]);
    for project in ["default", "lab"] {
        let upload = ["--project", project, "upload", "one", "--dataset", "raw"];
        let upload = [&upload[..], &["--no-metadata", "--wait"]].concat();
        world.run(&upload).await.ok();
    }
    world.manifests_written_in("lab").await;
    world.lose_database().await;
    let mut command = world.reindexing(&["--project", "lab", "-o", "json"]);
    command.env("GRANARY_PROJECT", "default");
    let found = recovery::report(&finish(command).await.ok());
    assert_eq!(
        found.summary["projects"],
        json!({"made": 1, "newer": 0, "known": 0})
    );
    assert_eq!(found.summary["sessions"]["made"], 1);
    // What is usual for other commands is not meant.
    let mut command = world.reindexing(&["-o", "json"]);
    command.env("GRANARY_PROJECT", "lab");
    let found = recovery::report(&finish(command).await.ok());
    assert_eq!(found.summary["sessions"]["made"], 1);
    world.start().await;
    let lab = ["--project", "lab", "session", "get", "raw/one"];
    assert_eq!(world.json(&lab).await["state"], "SESSION_STATE_PROCESSED");
}

#[tokio::test]
async fn a_platform_that_runs_is_left_alone() {
    for mut world in worlds().await {
        let on_servers = !world.env.is_empty();
        let said = match on_servers {
            true => "granary-job at 127.0.0.1, granary-metadata at 127.0.0.1",
            false => "another granary serve uses it",
        };
        finish(world.reindexing(&[])).await.failed(1, said);
        if on_servers {
            let dry = world.reindex(&["--dry-run"]).await;
            assert_eq!(dry.summary["sessions"]["made"], 0);
        }
        world.stop().await;
        let done = world.reindex(&[]).await;
        assert_eq!(done.summary["sessions"]["made"], 0);
    }
}

#[tokio::test]
async fn a_data_directory_that_is_not_there_or_in_use_is_left_alone() {
    let world = World::embedded().await;
    let busy = finish(world.reindexing(&[])).await;
    busy.failed(1, "another granary serve uses it");
    let mut elsewhere = world.reindexing(&[]);
    elsewhere.env("GRANARY_DATA_DIR", world.path("nowhere"));
    let none = finish(elsewhere).await;
    none.failed(1, "there is no such data directory");
    assert!(!world.path("nowhere").exists());
}

#[tokio::test]
async fn a_database_that_others_have_open_is_left_alone_wherever_the_store_is() {
    let world = World::embedded().await;
    let database = format!("sqlite:{}", world.path("data/db").display());
    let all: &[&str] = &[];
    for flags in [all, &["--dry-run"]] {
        let mut command = world.reindexing(flags);
        command
            .envs(world.store_outside())
            .env("GRANARY_DATABASE_URL", &database);
        let busy = finish(command).await;
        busy.failed(1, "it is in use by another process");
    }
}
