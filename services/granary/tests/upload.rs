//! Folders become sessions, and come back as they were.
#![allow(
    clippy::disallowed_methods,
    reason = "the program under test gets an environment of its own"
)]

mod common;

use common::World;

const METADATA: &str = "fatigue: 4\nhardware_model: X2\nfiles: eeg.bin, b/c.bin\n";

#[tokio::test]
async fn a_folder_becomes_a_session_and_comes_back_as_it_was() {
    let world = World::start().await;
    world.write(&[
        ("20210229_161221/metadata.txt", METADATA),
        ("20210229_161221/eeg.bin", "eeg"),
        ("20210229_161221/b/c.bin", ""),
    ]);
    let said = world
        .run(&[
            "upload",
            "20210229_161221",
            "--dataset",
            "recordings",
            "--attribute",
            "site=lab 1",
            "--wait",
        ])
        .await
        .ok();
    assert!(
        said.contains("recordings/20210229_161221  3 files")
            && said.contains("3 ready, 0 rejected"),
        "{said}"
    );

    let session = world
        .json(&["session", "get", "recordings/20210229_161221"])
        .await;
    assert_eq!(session["attributes"]["fatigue"]["number"], 4.0);
    assert_eq!(session["attributes"]["site"]["text"], "lab 1");
    assert_eq!(session["metadata_path"], "metadata.txt");
    let found = world
        .json(&["query", "attributes.fatigue > 3 AND path = \"b/*\""])
        .await;
    assert_eq!(found["assets"][0]["path"], "b/c.bin");
    assert_eq!(world.run(&["query", "--count"]).await.ok(), "3\n");

    world
        .run(&[
            "download",
            "--session",
            "recordings/20210229_161221",
            "--to",
            "back",
        ])
        .await
        .ok();
    for file in ["metadata.txt", "eeg.bin", "b/c.bin"] {
        let read = |folder: &str| std::fs::read(world.path(folder).join(file)).unwrap();
        assert_eq!(
            read("back/20210229_161221"),
            read("20210229_161221"),
            "{file}"
        );
    }
}

#[tokio::test]
async fn a_finished_upload_is_not_sent_again_and_other_content_is_refused() {
    let world = World::start().await;
    world.write(&[("s1/metadata.txt", "a: 1\n"), ("s1/x", "one")]);
    let upload = ["upload", "s1", "--dataset", "d"];
    assert!(world.run(&upload).await.ok().contains("completed"));
    assert!(world.run(&upload).await.ok().contains("already complete"));
    world.write(&[("s1/x", "two")]);
    world
        .run(&upload)
        .await
        .failed(1, "its x has other content");
    world.write(&[("s1/x", "one"), ("s1/y", "")]);
    world.run(&upload).await.failed(1, "has no file y");
}

#[tokio::test]
async fn unusual_names_survive() {
    let world = World::start().await;
    let long = "n".repeat(255);
    let names = [
        "a b",
        "line\nbreak",
        "\u{e9}",
        "e\u{301}",
        "Case",
        "case",
        ".hidden",
        "%2e%2e",
        "-rf",
        "back\\slash",
        "q\"uote",
        &long,
    ];
    for name in names {
        common::write(&world.path("odd").join(name), name);
    }
    let done = world
        .run(&["upload", "odd", "--dataset", "d", "--no-metadata", "--wait"])
        .await;
    assert!(done.stderr.contains("different Unicode forms"), "{done:?}");
    done.ok();
    world
        .run(&["download", "--session", "d/odd", "--to", "back"])
        .await
        .ok();
    for name in names {
        assert_eq!(
            std::fs::read_to_string(world.path("back/odd").join(name)).unwrap(),
            name
        );
    }
    let table = world.run(&["query"]).await.ok();
    assert_eq!(table.lines().count(), names.len() + 1, "{table}");
}

#[tokio::test]
async fn files_named_one_by_one_are_one_session() {
    let world = World::start().await;
    world.write(&[("x/a.jpg", "a"), ("y/b.jpg", "b")]);
    let upload = ["upload", "x/a.jpg", "y/b.jpg", "--dataset", "images"];
    let first = world.run(&upload).await.ok();
    assert!(first.starts_with("images/files-"), "{first}");
    assert!(world.run(&upload).await.ok().contains("already complete"));
}

#[tokio::test]
async fn bad_folders_are_named_and_nothing_is_sent() {
    let world = World::start().await;
    world.write(&[
        ("none/a.bin", ""),
        ("two/metadata.txt", "a: 1\n"),
        ("two/metadata.json", "{}"),
        ("wrong/metadata.yaml", "a: [1\nb"),
        ("nul/metadata.txt", "a: \0\n"),
        ("twice/metadata.txt", "a: 1\nb: 2\na: 3\n"),
        ("linked/metadata.txt", "a: 1\n"),
        ("bad name/metadata.txt", "a: 1\n"),
        ("good/metadata.txt", "a: 1\n"),
    ]);
    std::fs::create_dir(world.path("empty")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", world.path("linked/passwd")).unwrap();
    let huge = std::fs::File::create(world.path("huge.txt")).unwrap();
    huge.set_len(1 << 30).unwrap();
    std::fs::create_dir(world.path("huge")).unwrap();
    std::fs::rename(world.path("huge.txt"), world.path("huge/metadata.txt")).unwrap();
    for (folder, said) in [
        ("none", "no metadata file among 1 file"),
        ("two", "could each be the metadata file"),
        ("wrong", "metadata.yaml: "),
        ("nul", "binary, not text"),
        ("twice", "line 3: attribute \"a\" comes twice"),
        ("linked", "passwd: is a symbolic link out of the folder"),
        ("bad name", "give one with --session ID"),
        ("empty", "the folder is empty"),
        ("huge", "metadata file has"),
        ("absent", "not found"),
    ] {
        world
            .run(&["upload", "good", folder, "--dataset", "d"])
            .await
            .failed(1, said);
    }
    let datasets = world.json(&["dataset", "list"]).await;
    assert_eq!(datasets["datasets"], serde_json::json!([]));
}

#[tokio::test]
async fn thousands_of_files_are_one_session() {
    let world = World::start().await;
    for number in 0..2500 {
        common::write(
            &world.path(&format!("many/{}/{number}", number % 10)),
            &number.to_string(),
        );
    }
    world
        .run(&[
            "upload",
            "many",
            "--dataset",
            "d",
            "--no-metadata",
            "--wait",
        ])
        .await
        .ok();
    let listed = world.json(&["asset", "list", "--session", "d/many"]).await;
    assert_eq!(listed["assets"].as_array().unwrap().len(), 2500);
    assert_eq!(
        world
            .run(&["asset", "list", "--limit", "1200"])
            .await
            .ok()
            .lines()
            .count(),
        1201
    );
}
