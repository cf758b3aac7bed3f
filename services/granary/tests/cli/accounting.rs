//! Quotas, usage and the audit log by the command.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the program under test gets an environment of its own"
)]

use crate::common::World;

#[tokio::test]
async fn a_full_project_is_told_from_a_broken_one_and_billed_for_what_it_holds() {
    let world = World::start().await;
    world.write(&[
        ("s1/a.bin", "hello"),
        ("s2/b.bin", "world!"),
        ("s2/c.bin", "!"),
    ]);
    world.run(&["dataset", "create", "raw"]).await.ok();
    let set = [
        "project",
        "quota",
        "set",
        "--max-objects",
        "2",
        "--max-bytes",
        "1kB",
    ];
    let limits = world.run(&set).await.ok();
    assert!(
        limits.contains("0 of 2") && limits.contains("0 B of 1.0 kB"),
        "{limits}"
    );
    world
        .run(&["upload", "s1", "--dataset", "raw", "--no-metadata"])
        .await
        .ok();
    let full = world
        .run(&["upload", "s2", "--dataset", "raw", "--no-metadata"])
        .await;
    full.failed(1, "the project default may hold 2 assets (max_objects)")
        .failed(
            1,
            "the session raw/s2 stays open with none of its 2 files there yet: the same command goes on",
        );

    let csv = world
        .run(&["project", "usage", "--output", "csv"])
        .await
        .ok();
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "project,date,held_bytes,held_objects,added_bytes,added_objects,requests,job_seconds"
    );
    let held: Vec<_> = lines[lines.len() - 1].split(',').collect();
    assert_eq!((held[0], held[2], held[3]), ("default", "5", "1"), "{csv}");
    let table = world.run(&["project", "usage", "default"]).await.ok();
    assert!(table.contains("TOTAL"), "{table}");
    let quota = world.json(&["project", "quota", "get"]).await;
    assert_eq!(quota["used_objects"], 1);
    assert_eq!(quota["max_objects"], 2);

    let more = ["project", "quota", "set", "--max-objects", "3"];
    world.run(&more).await.ok();
    let again = world
        .run(&["upload", "s2", "--dataset", "raw", "--no-metadata"])
        .await;
    assert!(again.ok().contains("raw/s2  2 files"));
}

#[tokio::test]
async fn in_a_full_project_no_further_session_is_begun() {
    let world = World::start().await;
    world.write(&[("s1/a.bin", "a"), ("s1/b.bin", "b"), ("s2/c.bin", "c")]);
    world.run(&["dataset", "create", "raw"]).await.ok();
    let limit = ["project", "quota", "set", "--max-objects", "1"];
    world.run(&limit).await.ok();
    let upload = ["upload", "s1", "s2", "--dataset", "raw", "--no-metadata"];
    let full = world.run(&upload).await;
    assert_eq!(full.code, 1, "{full:#?}");
    assert!(!full.stderr.contains("s2"), "{full:#?}");
    let sessions = world.json(&["session", "list"]).await;
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1);
    let none = ["project", "quota", "set", "--max-objects", "0"];
    world.run(&none).await.ok();
    assert!(world.run(&upload).await.ok().contains("raw/s2"));
}

#[tokio::test]
async fn the_audit_log_says_who_did_what() {
    let mut world = World::start().await;
    world.run(&["dataset", "create", "raw"]).await.ok();
    world
        .run(&["--token", "no.such.token", "dataset", "list"])
        .await
        .failed(1, "refused");
    // What calls came to is stored soon; at the end of the server it is.
    world.stop_server().await;
    world.start_server().await;
    let csv = world.run(&["audit", "list", "-o", "csv"]).await.ok();
    let lines: Vec<_> = csv.lines().collect();
    assert!(lines[0].starts_with("time,subject,issuer,"), "{csv}");
    assert!(
        lines[1].contains(",local-administrator,granary,")
            && lines[1].contains("DatasetService/CreateDataset"),
        "{csv}"
    );
    let own = world.run(&["audit", "list"]).await.ok();
    assert!(
        own.contains("DatasetService/CreateDataset") && own.contains("allowed"),
        "{own}"
    );
    assert!(!own.contains("nobody known"), "{own}");
    let denied = world
        .json(&["audit", "list", "--all-projects", "--verdict", "denied"])
        .await;
    let entries = denied["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{denied}");
    assert_eq!(
        entries[0]["method"],
        "granary.metadata.v1.DatasetService/ListDatasets"
    );
    let before = ["audit", "list", "--to", "2020-01-01"];
    assert_eq!(world.run(&before).await.ok(), "");
}

#[tokio::test]
async fn csv_is_refused_where_there_is_none() {
    let world = World::start().await;
    let refused = world.run(&["dataset", "list", "--output", "csv"]).await;
    refused.failed(
        2,
        "csv is the output of `granary project usage` and `granary audit list` only",
    );
    let nothing = world.run(&["project", "quota", "set"]).await;
    nothing.failed(2, "--max-bytes");
    let day = world
        .run(&["project", "usage", "--from", "yesterday"])
        .await;
    day.failed(1, "start_date: expected a day such as 2026-11-21");
}
