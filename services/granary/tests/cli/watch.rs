//! The collector takes what is complete, and only that.
#![allow(
    clippy::disallowed_methods,
    reason = "the program under test gets an environment of its own"
)]

use crate::common::{World, until};
use tokio::io::BufReader;

const METADATA: &str = "fatigue: 4\nfiles: a.bin, b.bin\n";

#[tokio::test]
async fn once_sends_what_is_complete_and_says_what_is_not() {
    let world = World::start().await;
    world.write(&[
        ("in/s1/metadata.txt", "fatigue: 4\n"),
        ("in/s2/metadata.txt", METADATA),
        ("in/s2/a.bin", "a"),
        ("in/s3/a.bin", ""),
        ("in/.tmp/x", ""),
    ]);
    let once = [
        "watch",
        "in",
        "--dataset",
        "d",
        "--once",
        "--quiet-period",
        "0s",
    ];
    let done = world.run(&once).await;
    assert!(
        done.stdout.contains("d/s1  1 file") && done.stdout.lines().count() == 1,
        "{done:?}"
    );
    done.failed(1, "lists \"b.bin\", which is not there")
        .failed(1, "s3: no metadata file");

    world.write(&[("in/s2/b.bin", "b"), ("in/s3/metadata.txt", "a: 1\n")]);
    let said = world.run(&once).await.ok();
    assert!(
        said.contains("d/s1") && said.contains("already complete"),
        "{said}"
    );
    assert!(
        said.contains("d/s2  3 files") && said.contains("d/s3  2 files"),
        "{said}"
    );
}

#[tokio::test]
async fn it_goes_on_until_it_is_told_to_end() {
    let world = World::start().await;
    std::fs::create_dir(world.path("in")).unwrap();
    let mut child = world
        .command(&["watch", "in", "--dataset", "d", "--quiet-period", "0s"])
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());

    // Everything appears at once, so that nothing depends on how long a write takes.
    let appear = |name: &str| std::fs::rename(world.path("new"), world.path(name)).unwrap();
    world.write(&[("new/metadata.txt", METADATA), ("new/a.bin", "a")]);
    appear("in/s1");
    until(&mut stderr, "waits: the metadata lists \"b.bin\"").await;
    world.write(&[("new", "b")]);
    appear("in/s1/b.bin");
    until(&mut stdout, "d/s1  3 files").await;
    world.write(&[("new/metadata.txt", "a: 1\n")]);
    appear("in/s2");
    until(&mut stdout, "d/s2  1 file").await;

    let pid = child.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().await.unwrap().success());
    let sessions = world.json(&["session", "list"]).await;
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_comes_later_is_waited_for() {
    let mut world = World::start().await;
    world.kill_server().await;
    world.write(&[("in/s1/metadata.txt", "a: 1\n")]);
    let mut child = world
        .command(&["watch", "in", "--dataset", "d", "--quiet-period", "0s"])
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    until(&mut stderr, "server away, retrying").await;
    world.start_server().await;
    until(
        &mut BufReader::new(child.stdout.take().unwrap()),
        "d/s1  1 file",
    )
    .await;
}
