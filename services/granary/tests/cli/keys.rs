//! Machines that come with an API key.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "the program under test gets an environment of its own, and what goes wrong in helpers is the end of the test"
)]

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::common::{Done, PATIENCE, World, finish, free_port, until};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    process::Command,
};

/// Makes a key; its name and its text.
async fn make(world: &World, role: &str) -> (String, String) {
    let made = world.json(&["api-key", "create", "--role", role]).await;
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    (text(&made["api_key"]["name"]), text(&made["secret"]))
}

/// A command of a machine that has nothing but the key.
fn with_key(world: &World, secret: &str, arguments: &[&str]) -> Command {
    let mut command = world.command(arguments);
    command
        .env("GRANARY_API_KEY", secret)
        .env("GRANARY_DATA_DIR", "/nonexistent");
    command
}

async fn run(world: &World, secret: &str, arguments: &[&str]) -> Done {
    finish(with_key(world, secret, arguments)).await
}

#[tokio::test]
async fn a_key_is_exchanged_for_tokens_by_the_command_itself() {
    let world = World::start().await;
    let (name, secret) = make(&world, "editor").await;
    let who = run(&world, &secret, &["token", "whoami", "-o", "json"])
        .await
        .ok();
    let who: Json = serde_json::from_str(&who).unwrap();
    assert_eq!(
        (who["subject"].as_str(), who.get("role")),
        (Some(name.as_str()), None)
    );
    run(&world, &secret, &["dataset", "create", "recordings"])
        .await
        .ok();
    let file = world.path("key");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let mut by_file = world.command(&["dataset", "list"]);
    by_file
        .env("GRANARY_DATA_DIR", "/nonexistent")
        .env("GRANARY_API_KEY_FILE", &file);
    assert!(finish(by_file).await.ok().contains("recordings"));
    // It is of its project, and may do what its role says.
    run(&world, &secret, &["api-key", "list"])
        .await
        .failed(1, "your role does not allow this");
    run(&world, &secret, &["--project", "other", "dataset", "list"])
        .await
        .failed(1, "projects/other not found");
}

#[tokio::test]
async fn a_key_works_in_its_own_project_unless_another_is_named() {
    let world = World::start().await;
    world.run(&["project", "create", "lab"]).await.ok();
    let lab = ["--project", "lab", "api-key", "create", "--role", "editor"];
    let secret = world.json(&lab).await["secret"].clone();
    let secret = secret.as_str().unwrap();
    let made = run(&world, secret, &["dataset", "create", "recordings"]).await;
    assert!(made.ok().contains("projects/lab/datasets/recordings"));
    let who = run(&world, secret, &["token", "whoami"]).await.ok();
    assert!(who.contains("lab (editor)"), "{who}");
    let named = run(&world, secret, &["--project", "default", "dataset", "list"]).await;
    named.failed(1, "projects/default not found");
    let mut by_variable = with_key(&world, secret, &["dataset", "list"]);
    by_variable.env("GRANARY_PROJECT", "default");
    finish(by_variable)
        .await
        .failed(1, "projects/default not found");
}

/// A command of a machine that keeps things for its next command.
async fn keeping(world: &World, secret: &str, arguments: &[&str]) -> Done {
    let mut command = with_key(world, secret, arguments);
    command.env("XDG_CACHE_HOME", world.path("cache"));
    finish(command).await
}

/// The one file with a token.
fn kept(world: &World) -> PathBuf {
    let files = std::fs::read_dir(world.path("cache/granary/tokens")).unwrap();
    let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else {
        panic!("one file: {files:?}");
    };
    file.clone()
}

/// How often keys were exchanged by now.
async fn exchanges(world: &mut World) -> usize {
    world.stop_server().await;
    world.start_server().await;
    let all = world.json(&["audit", "list", "--all-projects"]).await;
    let entries = all["entries"].as_array().unwrap().iter();
    entries
        .filter(|entry| {
            entry["method"]
                .as_str()
                .unwrap()
                .ends_with("/ExchangeApiKey")
        })
        .count()
}

#[tokio::test]
async fn a_key_is_exchanged_once_for_many_commands() {
    let mut world = World::start().await;
    let (_, secret) = make(&world, "editor").await;
    for _ in 0..3 {
        keeping(&world, &secret, &["dataset", "list"]).await.ok();
    }
    let file = kept(&world);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(mode & 0o777, 0o600);
    let random = secret.trim_start_matches("granary_");
    assert!(!text.contains(random) && !file.display().to_string().contains(random));
    assert_eq!(exchanges(&mut world).await, 1);

    // A token that the server does not take is got anew, by the same command.
    let mut wrong: Json = serde_json::from_str(&text).unwrap();
    wrong["token"] = "no.such.token".into();
    std::fs::write(&file, wrong.to_string()).unwrap();
    keeping(&world, &secret, &["dataset", "create", "recordings"])
        .await
        .ok();
    let text = std::fs::read_to_string(kept(&world)).unwrap();
    assert!(!text.contains("no.such.token"), "{text}");
    assert_eq!(exchanges(&mut world).await, 2);
}

#[tokio::test]
async fn a_revoked_key_is_what_is_said_though_its_token_was_kept() {
    let mut world = World::start().await;
    let (name, secret) = make(&world, "editor").await;
    keeping(&world, &secret, &["dataset", "list"]).await.ok();
    world.run(&["api-key", "revoke", &name]).await.ok();
    // A server that starts asks anew who may do what.
    world.stop_server().await;
    world.start_server().await;
    for _ in 0..2 {
        keeping(&world, &secret, &["dataset", "list"]).await.failed(
            1,
            "refused the API key: that of GRANARY_API_KEY is wrong, expired or revoked",
        );
    }
}

#[tokio::test]
async fn a_key_that_is_wrong_or_revoked_is_named_and_not_shown() {
    let world = World::start().await;
    let (name, secret) = make(&world, "viewer").await;
    run(&world, &secret, &["dataset", "list"]).await.ok();
    for wrong in [
        "nonsense",
        &secret.replace("granary_", "granary_0"),
        &format!("{secret}x"),
    ] {
        let done = run(&world, wrong, &["dataset", "list"]).await;
        let done = done.failed(
            1,
            "refused the API key: that of GRANARY_API_KEY is wrong, expired or revoked",
        );
        assert!(!done.stderr.contains(wrong), "{done:#?}");
    }
    world.run(&["api-key", "revoke", &name]).await.ok();
    run(&world, &secret, &["dataset", "list"])
        .await
        .failed(1, "refused the API key");
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    assert!(!log.contains(&secret), "the key stands in the server's log");
}

#[tokio::test]
async fn a_worker_with_a_key_ends_when_the_key_is_revoked() {
    let world = World::start().await;
    let (name, secret) = make(&world, "worker").await;
    let folder = world.path("work");
    let arguments = [
        "worker",
        "run",
        "--name",
        "w1",
        "--folder",
        folder.to_str().unwrap(),
    ];
    let mut worker = with_key(&world, &secret, &arguments).spawn().unwrap();
    let mut stderr = BufReader::new(worker.stderr.take().unwrap());
    until(&mut stderr, "worker w1 pulls jobs").await;
    world.run(&["api-key", "revoke", &name]).await.ok();
    let mut said = String::new();
    stderr.read_to_string(&mut said).await.unwrap();
    assert_eq!(worker.wait().await.unwrap().code(), Some(1), "{said}");
    assert!(
        said.contains("refuses this worker") || said.contains("API key"),
        "{said}"
    );
}

#[tokio::test]
async fn servers_and_workers_tell_prometheus_of_themselves_until_they_end() {
    let [told, telling] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let env = vec![("GRANARY_METRICS_LISTEN".to_owned(), told.clone())];
    let world = World::start_in(env).await;
    let (_, secret) = make(&world, "worker").await;
    let folder = world.path("work");
    let arguments = ["worker", "run", "--name", "w1", "--folder"];
    let mut worker = with_key(&world, &secret, &arguments);
    worker.arg(folder).args(["--metrics-listen", &telling]);
    let worker = worker.spawn().unwrap();
    let metrics = async |address: &str, wanted: &str| {
        let ask = async {
            loop {
                let answer = reqwest::get(format!("http://{address}/metrics")).await;
                let text = match answer {
                    Ok(answer) => answer.text().await.unwrap(),
                    Err(_) => String::new(),
                };
                if text.contains(wanted) {
                    return text;
                }
            }
        };
        let told = tokio::time::timeout(PATIENCE, ask).await;
        told.unwrap_or_else(|_| panic!("{address} does not tell {wanted}"))
    };
    // Both are registered.
    let registered = "grpc_method=\"RegisterWorker\",grpc_type=\"unary\",grpc_code=\"OK\"";
    let text = metrics(&telling, registered).await;
    let slots = "granary_worker_slots{component=\"worker\",state=\"idle\"} 1";
    assert!(text.contains(slots), "{text}");
    metrics(&told, "granary_workers{component=\"embedded\"} 2").await;
    let process = worker.id().unwrap().to_string();
    Command::new("kill").arg(process).status().await.unwrap();
    let ended = worker.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(reqwest::get(format!("http://{telling}/")).await.is_err());
}
