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

use common::{finish, until};
use recovery::{World, worlds};
use serde_json::json;
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

        let made = world.reindex(&[]).await;
        // The new one, and what pipelines made of it and of the one that was open.
        assert_eq!(made.summary["sessions"]["made"], 3);
        assert_eq!(made.summary["behind"], 1);
        assert_eq!(made.findings.len(), 1, "{:?}", made.findings);
        assert_eq!(made.findings[0]["finding"], "differs");
        assert_eq!(
            made.findings[0]["description"],
            "OPEN in the database, PROCESSED in its manifest"
        );
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

#[tokio::test]
async fn what_fits_nothing_or_cannot_be_read_is_said_and_the_rest_comes_back() {
    let mut world = World::embedded().await;
    world.fill().await;
    let before = world.listed().await;
    world.lose_database().await;
    let raw = world.path("data/objects/granary-raw");
    let recordings = raw.join("default/recordings");
    let put = |path: &str, text: &str| common::write(&raw.join(path), text);
    put("alone", "x");
    put("No Project/x", "x");
    put("default/alone", "x");
    put("default/.granary/other.json", "x");
    // What is below comes back all the same.
    put("default/.granary/project.json", "{");
    put("default/No_Dataset/x", "x");
    put("default/recordings/alone", "x");
    put("default/recordings/first/more.bin", "x");
    put("default/recordings/first/.granary/other", "x");
    put("default/recordings/-no-session/x", "x");
    // A session's manifest that leads to another.
    let manifest = "first/.granary/session.json";
    let text = std::fs::read_to_string(recordings.join(manifest)).unwrap();
    put("default/recordings/hostile/.granary/session.json", &text);
    put("default/recordings/hostile/a.bin", "x");
    std::fs::remove_file(recordings.join("second/b.bin")).unwrap();
    put("default/recordings/second/c.bin", "longer than it was");

    let done = finish(world.reindexing(&["-o", "json"])).await;
    assert_eq!(done.code, 1, "{done:#?}");
    let found = recovery::report(&done.stdout);
    let places = |kind: &str| {
        let of_kind = found.findings.iter().filter(|f| f["finding"] == kind);
        let mut places: Vec<_> = of_kind
            .map(|f| {
                f["place"]
                    .as_str()
                    .unwrap()
                    .replace("s3://granary-raw/", "")
            })
            .collect();
        places.sort();
        places
    };
    assert_eq!(
        places("stray"),
        [
            "No Project/",
            "alone",
            "default/.granary/other.json",
            "default/No_Dataset/",
            "default/alone",
            "default/recordings/-no-session/",
            "default/recordings/alone",
            "default/recordings/first/.granary/other",
            "default/recordings/first/more.bin",
        ]
    );
    assert_eq!(
        places("unreadable"),
        [
            "projects/default",
            "projects/default/datasets/recordings/sessions/hostile"
        ]
    );
    assert_eq!(
        places("missing"),
        [
            "default/recordings/second/b.bin",
            "default/recordings/second/c.bin"
        ]
    );
    assert_eq!(found.summary["sessions"]["made"], before.sessions.len());
    assert_eq!(found.summary["findings"]["stray"], 9);
    // Listed, and never deleted.
    assert!(recordings.join("first/more.bin").exists());
    world.start().await;
    let after = world.listed().await;
    assert_eq!(after.closed_sessions(), before.closed_sessions());
    assert_eq!(after.closed_assets(), before.closed_assets());
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
