//! A platform whose database can be lost, and what is compared before and after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "helpers of tests: what goes wrong here is the end of the test"
)]

mod listed;
mod servers;

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    path::Path,
};

use granary_core::name::SessionName;
use granary_proto::metadata::v1::{
    CompleteSessionRequest, CreateSessionRequest, Session,
    session_service_client::SessionServiceClient,
};
use granary_runtime::{Link, auth::TokenSource, objects::ObjectReader};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};
use serde_json::Value as Json;
use tokio::process::Command;
use tonic::transport::Endpoint;

use crate::common::{self, finish, program};
use servers::Servers;

const PIPELINE: &str = "
name: recordings
on: { event: session.completed, dataset: recordings }
for_each: asset
steps:
  - { name: typed, check: media-type }
  - { name: decodes, check: image-decodable, when: 'media_type = \"image/*\"' }
  - { name: keep, transform: copy, needs: [typed], into: processed }
";
const CATALOG: &str = "a: { v1: { e: { app: { cmd: [sh, -c, 'mkdir -p output; echo 7 > output/n.txt; echo done'] }, \
    handler: { files_down: { data: data }, files_up: { output: output } }, resources: { memory: 64MiB, timeout: 1m } } } }\n";
const METADATA: &str =
    "fatigue: 4.1\nhardware_model: X2\nstarted: 2021-02-28T16:12:21Z\nfiles: a.bin, b/c.bin\n";

/// A server, and what its data lies in.
pub(crate) struct World {
    world: common::World,
    servers: Option<Servers>,
    /// Where the embedded store answers.
    s3_port: u16,
}

impl Deref for World {
    type Target = common::World;

    fn deref(&self) -> &common::World {
        &self.world
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut common::World {
        &mut self.world
    }
}

/// One on each back end.
pub(crate) async fn worlds() -> Vec<World> {
    let mut all = vec![World::embedded().await];
    match Servers::of_environment().await {
        Some(servers) => {
            let env = servers.env();
            all.push(World {
                world: common::World::start_in(env).await,
                servers: Some(servers),
                s3_port: 0,
            });
        }
        None => eprintln!(
            "skipped: PostgreSQL and S3 server (set GRANARY_TEST_POSTGRES and GRANARY_TEST_S3, as `make test` does)"
        ),
    }
    all
}

/// What `granary admin reindex -o json` said.
#[derive(Debug)]
pub(crate) struct Reindexed {
    pub(crate) findings: Vec<Json>,
    pub(crate) summary: Json,
}

/// Reads it.
pub(crate) fn report(text: &str) -> Reindexed {
    let mut lines: Vec<Json> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap();
    Reindexed {
        findings: lines,
        summary,
    }
}

impl World {
    /// One that needs nothing else.
    pub(crate) async fn embedded() -> Self {
        let mut s3_port = 0;
        let world = common::World::start_with(|[_, port]| {
            s3_port = port;
            vec![]
        });
        Self {
            world: world.await,
            servers: None,
            s3_port,
        }
    }

    /// What tells the program where the store is and which keys it has, as of one that is no part of the data directory; the URL first.
    pub(crate) fn store_outside(&self) -> Vec<(String, String)> {
        if let Some(servers) = &self.servers {
            return servers.env().split_off(1);
        }
        let keys = std::fs::read_to_string(self.path("data/s3-credentials")).unwrap();
        let value = |name: &str| {
            let mut lines = keys.lines().filter_map(|line| line.split_once(" = "));
            lines.find(|(key, _)| *key == name).unwrap().1.to_owned()
        };
        let url = format!("s3://granary?endpoint=http://127.0.0.1:{}", self.s3_port);
        [
            ("GRANARY_OBJECT_STORE", url),
            ("AWS_ACCESS_KEY_ID", value("aws_access_key_id")),
            ("AWS_SECRET_ACCESS_KEY", value("aws_secret_access_key")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    pub(crate) async fn start(&mut self) {
        self.world.start_server().await;
    }

    pub(crate) async fn stop(&mut self) {
        self.world.stop_server().await;
    }

    /// The command, which is not run yet.
    pub(crate) fn reindexing(&self, flags: &[&str]) -> Command {
        let mut command = program();
        command
            .env("GRANARY_DATA_DIR", self.path("data"))
            .envs(self.world.env.iter().cloned())
            .args(["admin", "reindex"])
            .args(flags);
        command
    }

    /// Makes the database anew; fails unless all could be read.
    pub(crate) async fn reindex(&self, flags: &[&str]) -> Reindexed {
        let mut command = self.reindexing(flags);
        command.args(["-o", "json"]);
        report(&finish(command).await.ok())
    }

    /// The same where something could not be read or is missing.
    pub(crate) async fn reindex_incomplete(&self, flags: &[&str]) -> Reindexed {
        let mut command = self.reindexing(flags);
        command.args(["-o", "json"]);
        let done = finish(command).await;
        assert_eq!(done.code, 1, "{done:#?}");
        report(&done.stdout)
    }

    /// Recordings, good and bad, what pipelines and a job made of them, a dataset of another kind, and a session that is not complete.
    pub(crate) async fn fill(&self) {
        self.write(&[
            ("pipeline.yaml", PIPELINE),
            ("apps.yaml", CATALOG),
            ("first/metadata.txt", METADATA),
            ("first/a.bin", "a"),
            ("first/b/c.bin", ""),
            ("bad/picture.jpg", "this is none"),
            ("bad/fine.txt", "this is fine"),
            ("settings/settings é +%20.json", "{}"),
        ]);
        let run = async |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            self.run(&words).await.ok()
        };
        run("pipeline apply -f pipeline.yaml").await;
        run("app apply -f apps.yaml").await;
        run("dataset create settings --kind config --display-name Settings").await;
        run("dataset update settings --display-name Laboratory").await;
        run("upload first --dataset recordings --wait").await;
        let bad = "upload bad --dataset recordings --no-metadata --wait";
        let words: Vec<&str> = bad.split(' ').collect();
        let bad = self.run(&words).await;
        assert!(
            bad.code == 1 && bad.stdout.contains("1 rejected"),
            "{bad:?}"
        );
        run("upload settings --dataset settings --no-metadata --wait").await;
        let files = [("b.bin", &b"bb"[..]), ("c.bin", b"c"), ("d.bin", b"")];
        self.send("recordings/second", &files).await;
        run("session wait recordings/second").await;
        run("job submit --app a --version v1 --entrypoint e --input data=session:recordings/second --job-id j1 --wait").await;
        self.begin_open_session().await;
        self.manifests_written().await;
    }

    fn link(&self) -> Link {
        let token = std::fs::read_to_string(self.path("data/token")).unwrap();
        let channel = Endpoint::from_shared(self.endpoint())
            .unwrap()
            .connect_lazy();
        Link::remote(channel, TokenSource::fixed(token.trim()).unwrap())
    }

    /// Sends files to a session, and leaves it open.
    async fn send_part(&self, name: &str, files: &[(&str, &[u8])]) -> SessionName {
        let (dataset, session) = name.split_once('/').unwrap();
        let session = SessionName::new("default", dataset, session).unwrap();
        let request = CreateSessionRequest {
            parent: session.parent().to_string(),
            session: Some(Session::default()),
            session_id: session.session.clone(),
            request_id: String::new(),
        };
        let mut sessions = SessionServiceClient::new(self.link());
        sessions.create_session(request).await.unwrap();
        let items = files.iter().map(|(path, bytes)| Item {
            path: (*path).into(),
            source: Source::Bytes(bytes.to_vec().into()),
            media_type: String::new(),
            derived_from: vec![],
            producer: String::new(),
        });
        Uploader::new(self.link(), UploadOptions::default())
            .upload(&session, items.collect(), &NoProgress)
            .await
            .unwrap();
        session
    }

    /// Sends a whole session, and completes it.
    pub(crate) async fn send(&self, name: &str, files: &[(&str, &[u8])]) {
        let session = self.send_part(name, files).await;
        let request = CompleteSessionRequest {
            name: session.to_string(),
            asset_count: i64::try_from(files.len()).unwrap(),
        };
        let mut sessions = SessionServiceClient::new(self.link());
        sessions.complete_session(request).await.unwrap();
        self.run(&["session", "wait", name]).await.ok();
    }

    /// One file small, one sent in parts, whose checksum the store does not know by itself.
    async fn begin_open_session(&self) {
        let large = large();
        let files = [("large.bin", &large[..]), ("small.bin", b"small")];
        self.send_part("recordings/open", &files).await;
    }

    pub(crate) async fn complete_open_session(&self) {
        let large = large();
        let files = [
            ("large.bin", &large[..]),
            ("small.bin", b"small"),
            ("z", b"z"),
        ];
        self.send("recordings/open", &files).await;
    }

    /// Whoever sent it sends it again: what is there is not sent twice, what is missing is, and pipelines take it.
    pub(crate) async fn go_on_with_open_session(&self) {
        self.run(&["pipeline", "apply", "-f", "pipeline.yaml"])
            .await
            .ok();
        self.complete_open_session().await;
        let session = self.json(&["session", "get", "recordings/open"]).await;
        assert_eq!(session["state"], "SESSION_STATE_PROCESSED");
        assert_eq!(session["asset_count"], 3);
    }

    /// All files of all closed sessions, by session and path.
    pub(crate) async fn downloaded(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        for session in self.listed().await.closed_sessions().keys() {
            let to = format!("{folder}/{session}");
            self.run(&["download", "--session", session, "--to", &to])
                .await
                .ok();
        }
        let mut found = BTreeMap::new();
        read_all(&self.path(folder), "", &mut found);
        assert!(found.len() > 8, "{:?}", found.keys());
        found
    }

    /// Waits until the store says what the database says.
    pub(crate) async fn manifests_written(&self) {
        self.manifests_written_in("default").await;
    }

    /// The same of another project.
    pub(crate) async fn manifests_written_in(&self, project: &str) {
        let reader = self.reader();
        let list = async |noun: &str| {
            let listed = self.json(&["--project", project, noun, "list"]).await;
            listed[format!("{noun}s")].as_array().unwrap().clone()
        };
        for dataset in list("dataset").await {
            let uri = format!("{}.granary/dataset.json", dataset["uri"].as_str().unwrap());
            let name = dataset["display_name"].as_str().unwrap_or("\"dataset\"");
            eventually(&reader, &uri, name).await;
            let raw = uri.split(&format!("/{project}/")).next().unwrap();
            let raw = raw.rsplit_once('-').unwrap().0;
            let uri = format!("{raw}-raw/{project}/.granary/project.json");
            eventually(&reader, &uri, "\"project\"").await;
        }
        for session in list("session").await {
            let state = session["state"].as_str().unwrap();
            if state != "SESSION_STATE_OPEN" {
                let uri = format!("{}.granary/session.json", session["uri"].as_str().unwrap());
                eventually(&reader, &uri, &format!("\"state\":\"{state}\"")).await;
            }
        }
    }

    fn reader(&self) -> ObjectReader {
        match &self.servers {
            Some(servers) => ObjectReader::new(servers.objects()).unwrap(),
            None => ObjectReader::new(servers::embedded(&self.path("data/objects"))).unwrap(),
        }
    }

    /// Ends the server, and takes its database away.
    pub(crate) async fn lose_database(&mut self) {
        self.stop().await;
        self.take_database(None).await;
    }

    async fn take_database(&mut self, dump: Option<&str>) {
        let Some(servers) = &mut self.servers else {
            let db = self.world.path("data/db");
            std::fs::remove_dir_all(&db).unwrap();
            if let Some(dump) = dump {
                copy_all(&self.world.path(dump), &db);
            }
            return;
        };
        servers.another_database(dump).await;
        self.world.env = servers.env();
    }

    /// Keeps what the databases hold now, while nothing runs.
    pub(crate) async fn dump(&mut self) {
        match &mut self.servers {
            Some(servers) => servers.dump().await,
            None => copy_all(&self.path("data/db"), &self.path("dump")),
        }
    }

    /// Ends the server, and brings the databases back to where they were.
    pub(crate) async fn restore_dump(&mut self) {
        self.stop().await;
        self.take_database(Some("dump")).await;
    }

    /// Takes an object, or all below a prefix, from the bucket of recordings.
    pub(crate) async fn remove(&self, key: &str) {
        if let Some(servers) = &self.servers {
            return servers.remove(key).await;
        }
        let path = self.path("data/objects/granary-raw").join(key);
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).unwrap(),
            false => std::fs::remove_file(path).unwrap(),
        }
    }

    /// All files of the data directory, and what is in the database on a server.
    pub(crate) async fn everything_made(&self) -> Vec<String> {
        let mut files = BTreeMap::new();
        read_all(&self.path("data"), "", &mut files);
        let mut found: Vec<String> = files.into_keys().collect();
        if let Some(servers) = &self.servers {
            found.extend(servers.schemas().await);
        }
        found
    }

    /// Puts objects into the bucket of recordings that nobody knows.
    pub(crate) async fn strays(&self, keys: impl Iterator<Item = String>) {
        let folder = match self.servers {
            Some(_) => self.path("strays"),
            None => self.path("data/objects/granary-raw"),
        };
        for key in keys {
            common::write(&folder.join(key), "x");
        }
        if let Some(servers) = &self.servers {
            servers.put(&folder).await;
        }
    }
}

fn large() -> Vec<u8> {
    (0..9_000_001_u32).map(|i| (i % 251) as u8).collect()
}

/// Waits until an object has a text: it is written soon after what it says has happened, and nobody tells of it.
async fn eventually(reader: &ObjectReader, uri: &str, text: &str) {
    let found = async {
        loop {
            let bytes = reader.read_start(uri, 1 << 20).await.unwrap_or_default();
            if String::from_utf8_lossy(&bytes).contains(text) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("{uri} does not say {text}"));
}

fn read_all(folder: &Path, prefix: &str, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read_all(&entry.path(), &name, into);
        } else {
            into.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
