//! Folders become sessions, and come back as they were.
#![allow(
    clippy::disallowed_methods,
    reason = "the program under test gets an environment of its own"
)]

use crate::common::{self, World};

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
        "100%25",
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
        ("wrong/metadata.yaml", "a: [1\nb: 2"),
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
        ("wrong", "metadata.yaml: line 2: not valid YAML"),
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

#[tokio::test]
async fn files_go_by_the_address_that_others_reach_the_store_by() {
    let world =
        World::start_with(|[_, s3]| vec![format!("--s3-public-endpoint=http://localhost:{s3}")])
            .await;
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    assert!(log.contains("objects=http://localhost:"), "{log}");
    // One file by a single PUT, one in parts: the store takes signatures for the name that it is called by.
    let large = "0123456789abcdef".repeat(600_000);
    world.write(&[("s/small", "small"), ("s/large", &large)]);
    world
        .run(&["upload", "s", "--dataset", "d", "--no-metadata", "--wait"])
        .await
        .ok();
    world
        .run(&["download", "--session", "d/s", "--to", "back"])
        .await
        .ok();
    assert_eq!(
        std::fs::read_to_string(world.path("back/s/large")).unwrap(),
        large
    );
}

#[tokio::test]
async fn a_store_that_nobody_can_call_is_refused() {
    let mut command = common::program();
    let folder = tempfile::tempdir().unwrap();
    command
        .args([
            "serve",
            "--s3-listen",
            "0.0.0.0:0",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(folder.path());
    common::finish(command).await.failed(
        2,
        "say how they reach this machine with --s3-public-endpoint",
    );
}

#[tokio::test]
async fn labels_and_assets_are_named_by_their_paths() {
    let world = World::start().await;
    world.write(&[("s/a/x.bin", "x"), ("s/y.bin", "y")]);
    world
        .run(&["upload", "s", "--dataset", "d", "--no-metadata", "--wait"])
        .await
        .ok();
    let create = [
        "label",
        "create",
        "d/s/a/x.bin",
        "--class",
        "eye",
        "--id",
        "l1",
    ];
    world.run(&create).await.ok();
    world
        .run(&create)
        .await
        .failed(1, "d/s/a/x.bin/l1 already exists");
    for arguments in [
        &["label", "list", "--dataset", "d"][..],
        &["label", "list", "d"],
        &["label", "list", "d/s/a/x.bin"],
    ] {
        let listed = world.run(arguments).await.ok();
        assert!(listed.contains("d/s/a/x.bin/l1  eye"), "{listed}");
    }
    world.run(&["label", "get", "d/s/a/x.bin/l1"]).await.ok();
    for arguments in [
        &["label", "create", "d/s/z.bin", "--class", "eye"][..],
        &["download", "d/s/y.bin", "d/s/z.bin", "--to", "back"],
        &["asset", "get", "d/s/z.bin"],
    ] {
        world
            .run(arguments)
            .await
            .failed(1, "granary: d/s/z.bin not found");
    }
}

#[tokio::test]
async fn a_filter_that_finds_nothing_is_explained() {
    let world = World::start().await;
    world.write(&[
        ("s/metadata.txt", METADATA),
        ("s/eeg.bin", ""),
        ("s/b/c.bin", ""),
    ]);
    world
        .run(&["upload", "s", "--dataset", "d", "--wait"])
        .await
        .ok();
    let misspelt = "no session and no asset of this project has the attribute \"fatige\"; did you mean \"fatigue\"?";
    let other = "attributes.fatigue of d/s is the number 4, and is compared with a text";
    for (filter, said) in [
        ("attributes.fatige > 3", misspelt),
        ("attributes.fatigue = \"4\"", other),
    ] {
        for command in [
            &["query"][..],
            &["query", "--count"],
            &["session", "list", "--filter"],
        ] {
            let done = world.run(&[command, &[filter]].concat()).await;
            assert!(done.stderr.contains(said), "{done:#?}");
            done.ok();
        }
    }
    let done = world
        .run(&["query", "attributes.fatigue > 4", "--dataset", "d"])
        .await;
    assert_eq!((done.code, done.stderr.as_str()), (0, "no assets\n"));
}

#[tokio::test]
async fn a_download_says_what_of_it_was_rejected() {
    let world = World::start().await;
    let pipeline = "name: p\non: { event: session.completed, dataset: d }\nsteps:\n  - { name: a, check: media-type, with: { allow: [image/png] } }\n";
    world.write(&[("p.yaml", pipeline), ("s/x.txt", "text")]);
    let applied = world.run(&["pipeline", "apply", "-f", "p.yaml"]).await;
    assert!(
        applied.stderr.contains("earlier ones stay as they are"),
        "{applied:#?}"
    );
    let upload = ["upload", "s", "--dataset", "d", "--no-metadata", "--wait"];
    world.run(&upload).await.failed(1, "");
    let done = world
        .run(&["download", "--session", "d/s", "--to", "back"])
        .await;
    assert!(
        done.stderr.contains("rejected by checks: 1 file of these"),
        "{done:#?}"
    );
    done.ok();
}
