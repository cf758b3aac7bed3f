//! What the command says and how it ends.
#![allow(
    clippy::disallowed_methods,
    reason = "the program under test gets an environment of its own"
)]

use crate::common::{World, finish, program, until};
use tokio::io::{AsyncReadExt as _, BufReader};

#[tokio::test]
async fn wrong_usage_is_told_from_failure() {
    let without_server = async |arguments: &[&str]| {
        let mut command = program();
        command
            .env("GRANARY_ENDPOINT", "http://127.0.0.1:1")
            .env("GRANARY_DATA_DIR", "/nonexistent")
            .args(arguments);
        finish(command).await
    };
    without_server(&["dataset", "list"]).await.failed(
        1,
        "cannot reach http://127.0.0.1:1: is the server running? start it with: granary serve",
    );
    without_server(&["dataset", "lst"]).await.failed(2, "list");
    without_server(&["session", "get", "20210229_161221"])
        .await
        .failed(2, "expected DATASET/SESSION");
    without_server(&["--project", "Lab", "dataset", "list"])
        .await
        .failed(2, "project: expected");
    without_server(&["pipeline", "apply", "-f", "nowhere.yaml"])
        .await
        .failed(1, "nowhere.yaml: not found");
    assert!(
        without_server(&["completion", "bash"])
            .await
            .ok()
            .contains("granary")
    );
    assert!(
        without_server(&["--version"])
            .await
            .ok()
            .starts_with("granary 0.")
    );
}

#[tokio::test]
async fn tokens_that_are_missing_or_wrong_are_explained_and_not_shown() {
    let world = World::start().await;
    let wrong = world
        .run(&["--token", "no.such.token", "dataset", "list"])
        .await
        .failed(1, "refused the token that was given");
    assert!(!wrong.stderr.contains("no.such.token"));
    let mut elsewhere = world.command(&["dataset", "list"]);
    finish({
        elsewhere.env("GRANARY_DATA_DIR", "/nonexistent");
        elsewhere
    })
    .await
    .failed(1, "/nonexistent/token cannot be read (not found)");
}

#[tokio::test]
async fn a_wrong_filter_is_pointed_at() {
    let world = World::start().await;
    world
        .run(&["query", "size_bytes >"])
        .await
        .failed(1, "\n  size_bytes >\n              ^");
    world
        .run(&["session", "list", "--filter", "stat = OPEN"])
        .await
        .failed(1, "did you mean \"state\"?\n  stat = OPEN\n  ^");
}

#[tokio::test]
async fn mistakes_in_a_pipeline_are_found_with_their_place() {
    let world = World::start().await;
    let pipeline = |steps: &str| {
        format!("name: p\non: {{ event: session.completed, dataset: d }}\nsteps:\n{steps}")
    };
    for (steps, said) in [
        ("  - { name: a, check: image-decodble }\n", "did you mean"),
        (
            "  - { name: a, check: media-type, nedds: [b] }\n",
            "steps[0]: unknown field \"nedds\"; did you mean \"needs\"?",
        ),
        (
            "  - { name: a, check: media-type, needs: [b] }\n  - { name: b, check: media-type, needs: [a] }\n",
            "steps[",
        ),
        (
            "  - { name: a, transform: thumbnail, into: q, with: { max_edge: big } }\n",
            "steps[0].with.max_edge: expected",
        ),
        ("  - { name: a, check: media-type }\n   - b\n", "line 5"),
    ] {
        world.write(&[("p.yaml", &pipeline(steps))]);
        for verb in ["plan", "apply"] {
            world
                .run(&["pipeline", verb, "-f", "p.yaml"])
                .await
                .failed(1, said)
                .failed(1, "p.yaml: ");
        }
    }
    assert_eq!(
        world.json(&["pipeline", "list"]).await["pipelines"],
        serde_json::json!([])
    );
    world.write(&[("p.yaml", &pipeline("  - { name: a, check: media-type }\n"))]);
    assert_eq!(
        world.run(&["pipeline", "apply", "-f", "p.yaml"]).await.ok(),
        "p version 1 created\n"
    );
    assert_eq!(
        world.run(&["pipeline", "apply", "-f", "p.yaml"]).await.ok(),
        "p version 1 unchanged\n"
    );
}

#[tokio::test]
async fn a_job_is_waited_for_across_a_restart() {
    let mut world = World::start().await;
    let catalog = "a: { v1: { e: { app: { cmd: [sh, -c, 'echo begun; sleep 2; echo done'] }, handler: {}, resources: { memory: 64MiB, timeout: 1m } } } }\n";
    world.write(&[("apps.yaml", catalog)]);
    world.run(&["app", "apply", "-f", "apps.yaml"]).await.ok();
    let submit = [
        "job",
        "submit",
        "--app",
        "a",
        "--version",
        "v1",
        "--entrypoint",
        "e",
        "--job-id",
        "j1",
        "--follow",
    ];
    let mut child = world.command(&submit).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    until(&mut stdout, "begun").await;
    world.kill_server().await;
    until(
        &mut BufReader::new(child.stderr.take().unwrap()),
        "server away, retrying",
    )
    .await;
    world.start_server().await;
    let said = until(&mut stdout, "j1  succeeded").await;
    assert!(said.contains("begun\ndone\n"), "{said}");
    assert!(child.wait().await.unwrap().success());
    assert!(
        world
            .run(&["job", "logs", "j1"])
            .await
            .ok()
            .ends_with("begun\ndone\n")
    );
    world.run(&["job", "wait", "j1"]).await.ok();
}

#[tokio::test]
async fn output_that_nobody_reads_is_no_error() {
    let world = World::start().await;
    for arguments in [
        &["completion", "bash"][..],
        &["project", "list"],
        &["--output", "json", "project", "list"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = world.command(arguments).stdout(writer).spawn().unwrap();
        let mut said = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).await.unwrap();
        let status = child.wait().await.unwrap();
        assert_eq!(
            (status.code(), said.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn members_are_named_by_subject_or_id() {
    let world = World::start().await;
    world.run(&["project", "create", "lab"]).await.ok();
    let lab = |arguments: &str| {
        let words = format!("--project lab member {arguments}");
        words.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let run = async |arguments: &str| finish(world.command(&lab(arguments))).await;
    run("add --subject bob --role viewer").await.ok();
    run("add --subject auth0|7 --role worker").await.ok();
    run("add --subject bob --role owner")
        .await
        .failed(1, "already exists");
    assert!(
        run("update bob --role editor")
            .await
            .ok()
            .contains("editor")
    );
    let members = world.json(&["--project", "lab", "member", "list"]).await;
    let fields = |field: &str| -> Vec<_> {
        let all = members["members"].as_array().unwrap().iter();
        all.map(|member| member[field].as_str().unwrap_or("").to_owned())
            .collect()
    };
    let roles = [
        "PROJECT_ROLE_OWNER",
        "PROJECT_ROLE_EDITOR",
        "PROJECT_ROLE_WORKER",
    ];
    assert_eq!(fields("role"), roles);
    assert_eq!(
        fields("issuer")[0],
        fields("issuer")[2],
        "that of the own token"
    );
    run("remove auth0|7").await.ok();
    run("remove auth0|7")
        .await
        .failed(1, "auth0|7 in projects/lab not found");
    run("leave")
        .await
        .failed(1, "it is the last owner of the project");
}

#[tokio::test]
async fn who_could_never_come_is_not_made_a_member() {
    let world = World::start().await;
    let add = ["member", "add", "--role", "viewer"];
    let invite = [&add[..], &["--email", "bob@example.org"]].concat();
    world
        .run(&invite)
        .await
        .failed(1, "--email: nobody could take this invitation");
    let foreign = ["--subject", "bob", "--issuer", "https://id.example"];
    world.run(&[&add[..], &foreign].concat()).await.failed(
        1,
        "--issuer: expected an issuer whose tokens this server trusts (granary), exactly",
    );
}

#[tokio::test]
async fn a_member_is_added_by_address_or_subject_with_a_role() {
    let world = World::start().await;
    for usage in [
        &["member", "add", "--role", "viewer"][..],
        &[
            "member",
            "add",
            "--email",
            "a@b",
            "--subject",
            "s",
            "--role",
            "viewer",
        ],
        &["member", "add", "--email", "a@b", "--role", "king"],
    ] {
        world.run(usage).await.failed(2, "--help");
    }
}

#[tokio::test]
async fn a_key_is_printed_once_and_revoked_by_its_id() {
    let world = World::start().await;
    let made = world
        .run(&[
            "api-key",
            "create",
            "truck 7",
            "--role",
            "editor",
            "--lifetime",
            "90d",
        ])
        .await;
    assert!(made.stderr.contains("GRANARY_API_KEY"), "{made:#?}");
    let secret = made.ok();
    let secret = secret.trim();
    assert!(secret.starts_with("granary_") && secret.len() == 65);
    let table = world.run(&["api-key", "list"]).await.ok();
    assert!(
        table.contains("truck 7") && table.contains("GOOD") && !table.contains(secret),
        "{table}"
    );
    let wrong = world.run(&["api-key", "revoke", secret]).await;
    let wrong = wrong.failed(2, "say its id");
    assert!(!wrong.stderr.contains(secret));
    let keys = world.json(&["api-key", "list"]).await;
    let name = keys["api_keys"][0]["name"].as_str().unwrap();
    let id = name.rsplit('/').next().unwrap();
    for key in [id, name] {
        let revoked = world.run(&["api-key", "revoke", key]).await.ok();
        assert!(revoked.contains("REVOKED"), "{revoked}");
    }
    world
        .run(&["api-key", "create", "--role", "owner"])
        .await
        .failed(2, "owner");
    let made = world.json(&["api-key", "create", "--role", "viewer"]).await;
    assert!(made["secret"].as_str().unwrap().starts_with("granary_"));
    let lasting = ["api-key", "create", "truck 8", "--role", "viewer"];
    let lasting = world.run(&lasting).await;
    assert!(lasting.stderr.contains("it never ends"), "{lasting:#?}");
    let revoked = world.run(&["api-key", "revoke", "truck 8"]).await.ok();
    assert!(revoked.contains("truck 8") && revoked.contains("REVOKED"));
    let unknown = world.run(&["api-key", "revoke", "truck 9"]).await;
    unknown.failed(1, "API key \"truck 9\" in projects/default not found");
}

#[tokio::test]
async fn a_usage_line_holds_what_was_typed() {
    let mut command = program();
    command
        .env("GRANARY_ENDPOINT", "http://127.0.0.1:1")
        .args(["dataset", "get"]);
    let done = finish(command)
        .await
        .failed(2, "Usage: granary dataset get");
    assert!(!done.stderr.contains("--endpoint"), "{done:#?}");
}

#[tokio::test]
async fn applications_of_others_stay_in_the_catalogue() {
    let world = World::start().await;
    let application = |name: &str| {
        format!(
            "{name}: {{ v1: {{ e: {{ app: {{ cmd: [run] }}, handler: {{ files_down: {{ d: data }} }} }} }} }}\n"
        )
    };
    world.write(&[
        ("own.yaml", &application("own")),
        ("theirs.yaml", &application("theirs")),
    ]);
    world.run(&["app", "apply", "-f", "own.yaml"]).await.ok();
    let done = world.run(&["app", "apply", "-f", "theirs.yaml"]).await;
    assert!(
        done.stderr.contains("left as they are: own; --prune"),
        "{done:#?}"
    );
    let listed = world.run(&["app", "list"]).await.ok();
    assert!(
        listed.contains("own/v1/e") && listed.contains("1GiB"),
        "{listed}"
    );

    let prune = ["app", "apply", "-f", "theirs.yaml", "--prune"];
    let planned = world.run(&[&prune[..], &["--check"]].concat()).await.ok();
    assert!(planned.contains("own/v1/e    removed"), "{planned}");
    world.run(&["app", "get", "own/v1/e"]).await.ok();
    world.run(&prune).await.ok();
    world
        .run(&["app", "get", "own/v1/e"])
        .await
        .failed(1, "not found");

    let submit = [
        "job",
        "submit",
        "--app",
        "theirs",
        "--version",
        "v1",
        "--entrypoint",
        "e",
        "--job-id",
        "j",
    ];
    world
        .run(&submit)
        .await
        .failed(1, "inputs: input \"d\" is missing");
    let nothing = [&submit[..], &["--input", "d="]].concat();
    world.run(&nothing).await.ok();
    world.run(&nothing).await.failed(1, "choose another id");
}
