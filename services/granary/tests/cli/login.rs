//! People who log in at a real OpenID provider, as its certified implementation for Node answers.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the program under test gets an environment of its own, and what goes wrong in helpers is the end of the test"
)]

use std::{
    collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio,
};

use crate::common::{Done, World, finish, until};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

const API: &str = "https://granary.example/api";
const CLIENT: &str = "granary-cli";

/// The provider; it ends with the value.
struct Provider {
    url: String,
    process: Child,
}

impl Provider {
    /// Nothing where it cannot be had, which in CI is an error.
    async fn start() -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(folder) = variable("GRANARY_TEST_OIDC") else {
            assert!(
                variable("CI").is_none(),
                "in CI, GRANARY_TEST_OIDC must be set"
            );
            eprintln!("skipped: OpenID provider (set GRANARY_TEST_OIDC, as `make test` does)");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc/provider.mjs");
        let mut process = Command::new("node")
            .args([script, &folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines
            .next_line()
            .await
            .unwrap()
            .expect("the provider did not start");
        Some(Self { url, process })
    }

    /// A server that trusts it, with ada as administrator.
    async fn world(&self) -> World {
        let audience = format!("{API},{CLIENT}");
        let flags = [
            "--oidc-issuer",
            &self.url,
            "--oidc-audience",
            &audience,
            "--oidc-administrator",
            "subject:ada",
        ];
        World::start_with(|_| flags.map(str::to_owned).to_vec()).await
    }

    /// Does in a browser what somebody is asked to; `answer` says as whom, or that it is declined.
    async fn browse(&self, start: &str, answer: &str) {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut cookies = BTreeMap::new();
        let (mut url, mut form) = (start.to_owned(), None::<String>);
        for _ in 0..12 {
            if let Some(path) = url.strip_prefix("/interaction/") {
                url = format!("{}/interaction/{path}?{answer}", self.url);
            }
            let request = match form.take() {
                Some(form) => http
                    .post(&url)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form),
                None => http.get(&url),
            };
            let sent: Vec<String> = cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let response = request
                .header("cookie", sent.join("; "))
                .send()
                .await
                .unwrap();
            for cookie in response.headers().get_all("set-cookie") {
                let (name, value) = cookie
                    .to_str()
                    .unwrap()
                    .split(';')
                    .next()
                    .unwrap()
                    .split_once('=')
                    .unwrap();
                cookies.insert(name.to_owned(), value.to_owned());
            }
            if response.status().is_redirection() {
                url = response.headers()["location"].to_str().unwrap().to_owned();
                continue;
            }
            let page = response.text().await.unwrap();
            let filled = inputs(&page);
            let action =
                between(&page, "action=\"", "\"").filter(|_| filled.contains("user_code="));
            // A page that says how it went, or begins anew.
            let Some(action) = action else {
                return;
            };
            url = action.to_owned();
            form = Some(filled);
        }
        panic!("the browser goes round in circles at {url}");
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

// What a browser sends of a form. Its values have no characters that would have to be escaped.
fn inputs(page: &str) -> String {
    let pair = |input: &str| {
        let (name, value) = (
            between(input, "name=\"", "\"")?,
            between(input, "value=\"", "\"")?,
        );
        Some(format!("{name}={value}"))
    };
    page.split("<input")
        .skip(1)
        .filter_map(pair)
        .collect::<Vec<_>>()
        .join("&")
}

/// Somebody's command, with settings of their own.
struct Person<'a> {
    world: &'a World,
    name: &'static str,
}

impl Person<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(arguments);
        command.env("XDG_CONFIG_HOME", self.world.path(self.name));
        command
    }

    async fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments)).await
    }

    /// Logs in, and answers in the browser.
    async fn log_in(&self, provider: &Provider, more: &[&str], answer: &str) -> Done {
        let usual = ["login", "--issuer", &provider.url, "--client-id", CLIENT];
        let mut child = self.command(&[&usual, more].concat()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let said = until(&mut stderr, "user_code=").await;
        let url = said.trim_end().rsplit(' ').next().unwrap();
        provider.browse(url, answer).await;
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).await.unwrap();
        Done {
            code: child.wait().await.unwrap().code().unwrap(),
            stdout: String::new(),
            stderr: rest,
        }
    }

    /// The file of the login.
    fn file(&self) -> PathBuf {
        let folder = std::fs::read_dir(self.world.path(self.name).join("granary/logins")).unwrap();
        let mut files = folder.map(|entry| entry.unwrap().path());
        files
            .find(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .unwrap()
    }

    /// What is kept of the login.
    fn kept(&self) -> Json {
        let file = self.file();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    /// Makes of the login one whose token has ended, with this refresh token.
    fn ends(&self, refresh: Json) {
        let mut kept = self.kept();
        kept["expires"] = 1.into();
        kept["refresh"] = refresh;
        std::fs::write(self.file(), kept.to_string()).unwrap();
    }

    async fn whoami(&self) -> Json {
        serde_json::from_str(&self.run(&["token", "whoami", "-o", "json"]).await.ok()).unwrap()
    }
}

#[tokio::test]
async fn a_login_is_confirmed_in_a_browser_and_renewed_by_the_commands_that_use_it() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let world = provider.world().await;
    let ada = Person {
        world: &world,
        name: "ada",
    };
    ada.run(&["dataset", "list"])
        .await
        .failed(1, "run `granary login`");
    let done = ada.log_in(&provider, &[], "as=ada").await;
    assert!(
        done.code == 0 && done.stderr.contains(" as ada"),
        "{done:#?}"
    );
    let first = ada.kept();
    // Its tokens last a minute: too short to be sent without being renewed first.
    let who = ada.whoami().await;
    assert_eq!(
        (&who["subject"], &who["issuer"]),
        (&"ada".into(), &provider.url.as_str().into())
    );
    assert_eq!(who["role"], "ROLE_ADMINISTRATOR");
    assert_ne!(ada.kept()["refresh"], first["refresh"]);
    // Each refresh token counts once, so that commands at the same time must not use the same.
    let all = [ada.whoami(), ada.whoami(), ada.whoami()];
    for who in futures::future::join_all(all).await {
        assert_eq!(who["subject"], "ada");
    }
    ada.run(&["token", "create", "robot", "--role", "worker"])
        .await
        .failed(1, "");
    let add = ["member", "add", "--role", "viewer", "--email"];
    let bob = [&add[..], &["Bob@example.org"]].concat();
    assert!(ada.run(&bob).await.ok().contains("INVITED"));
    ada.run(&bob).await.failed(1, "already exists");
    let raise = ["member", "update", "bob@EXAMPLE.org", "--role", "editor"];
    assert!(ada.run(&raise).await.ok().contains("editor"));
    assert!(!world.path("data/token").exists());
}

#[tokio::test]
async fn a_login_that_is_declined_or_over_says_what_to_do() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let world = provider.world().await;
    let eve = Person {
        world: &world,
        name: "eve",
    };
    eve.log_in(&provider, &[], "decline")
        .await
        .failed(1, "the login was declined: run `granary login` again");
    eve.run(&["token", "whoami"])
        .await
        .failed(1, "run `granary login`");
    let done = eve.log_in(&provider, &["--id-token"], "as=eve").await;
    assert_eq!(done.code, 0, "{done:#?}");
    let who = eve.whoami().await;
    assert_eq!(
        (&who["subject"], &who["email"]),
        (&"eve".into(), &"eve@example.org".into())
    );
    assert_eq!(who.get("role"), None);
    let kept = eve.kept();
    eve.run(&["logout"]).await.ok();
    eve.run(&["token", "whoami"])
        .await
        .failed(1, "run `granary login`");
    // The issuer has forgotten it too.
    let refresh = kept["refresh"].as_str().unwrap();
    let answer = reqwest::Client::new()
        .post(format!("{}/token", provider.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!(
            "grant_type=refresh_token&refresh_token={refresh}&client_id={CLIENT}"
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    eve.run(&["logout"]).await.ok();
}

#[tokio::test]
async fn a_login_that_cannot_be_renewed_says_why() {
    let Some(mut provider) = Provider::start().await else {
        return;
    };
    let world = provider.world().await;
    let ada = Person {
        world: &world,
        name: "ada",
    };
    assert_eq!(ada.log_in(&provider, &[], "as=ada").await.code, 0);
    let refresh = ada.kept()["refresh"].clone();
    for gone in [Json::Null, "wrong".into()] {
        ada.ends(gone);
        let done = ada.run(&["token", "whoami"]).await;
        done.failed(1, "run `granary login` again");
    }
    ada.ends(refresh.clone());
    assert_eq!(ada.whoami().await["subject"], "ada");
    provider.process.kill().await.unwrap();
    ada.ends(refresh);
    let done = ada.run(&["token", "whoami"]).await;
    done.failed(
        1,
        "openid-configuration does not answer (Connection refused",
    );
}

#[tokio::test]
async fn a_server_that_does_not_trust_the_issuer_is_told_from_a_failed_login() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let world = World::start().await;
    let ada = Person {
        world: &world,
        name: "ada",
    };
    let said = "the server must trust this issuer";
    ada.log_in(&provider, &[], "as=ada").await.failed(1, said);
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    assert!(log.contains("foreign issuer"), "{log}");
    // Without a login, the local administrator is who calls.
    assert_eq!(ada.whoami().await["subject"], "local-administrator");
    let elsewhere = ada
        .run(&["login", "--issuer", "http://id.example", "--client-id", "x"])
        .await;
    elsewhere.failed(1, "is not encrypted");
    ada.run(&["login"]).await.failed(2, "issuer: is missing");
}
