//! A platform as processes that export their traces, and a receiver of them.

use std::{path::PathBuf, time::Duration};

use granary::serve::Settings;
use granary_testkit::{
    AUDIENCE, Backend, Front, Receiver, TestIssuer, TestKey, backends, signing_key,
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::common::{finish, free_port, program};

const PATIENCE: Duration = Duration::from_secs(90);
const ROLES: [&str; 4] = ["metadata", "storage", "pipeline", "job"];

pub(crate) struct Lab {
    pub(crate) receiver: Receiver,
    folder: TempDir,
    apart: bool,
    endpoint: String,
    /// How commands say who they are.
    identity: [(&'static str, String); 2],
    /// How workers do, if an issuer outside says it.
    worker_token: Option<String>,
    processes: Vec<Child>,
}

impl Lab {
    async fn new(apart: bool) -> Self {
        Self {
            receiver: Receiver::start().await,
            folder: tempfile::tempdir().unwrap(),
            apart,
            endpoint: String::new(),
            identity: Default::default(),
            worker_token: None,
            processes: Vec::new(),
        }
    }

    /// All services in one process.
    pub(crate) async fn embedded() -> Self {
        let mut lab = Self::new(false).await;
        let data = lab.path("data").display().to_string();
        let (at, objects) = (
            format!("127.0.0.1:{}", free_port()),
            format!("127.0.0.1:{}", free_port()),
        );
        let flags = [
            "--data-dir",
            &data,
            "--listen",
            &at,
            "--s3-listen",
            &objects,
            "--job-slots",
            "0",
        ];
        lab.serve(&flags, &[]).await;
        lab.endpoint = format!("http://{at}");
        lab.identity = [
            ("GRANARY_DATA_DIR", data),
            ("GRANARY_PROJECT", "default".into()),
        ];
        lab
    }

    /// Each service in a process of its own, if there are servers for them.
    pub(crate) async fn apart() -> Option<Self> {
        let servers = backends()
            .into_iter()
            .find(|backend| matches!(backend, Backend::Servers { .. }))?;
        let mut lab = Self::new(true).await;
        let mut settings = Settings::in_folder(lab.path("data"));
        servers.prepare(&mut settings).await;
        let key_file = lab.path("key");
        std::fs::write(&key_file, signing_key()).unwrap();
        let (issuer, key) = (TestIssuer::start().await, TestKey::new("k"));
        issuer.publish(&[&key]);
        let objects = settings.object_store.unwrap();
        let ports: Vec<[u16; 2]> = ROLES.iter().map(|_| [free_port(), free_port()]).collect();
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let env = [
            (
                "GRANARY_DATABASE_URL",
                settings.database_url.unwrap().reveal().to_owned(),
            ),
            ("GRANARY_OBJECT_STORE", objects.url),
            ("AWS_ACCESS_KEY_ID", objects.access_key),
            (
                "AWS_SECRET_ACCESS_KEY",
                objects.secret_key.reveal().to_owned(),
            ),
            ("GRANARY_SIGNING_KEY_FILE", key_file.display().to_string()),
            ("GRANARY_OIDC_ISSUER", issuer.url().to_owned()),
            ("GRANARY_OIDC_AUDIENCE", AUDIENCE.to_owned()),
            ("GRANARY_OIDC_ALLOW_HTTP", "true".to_owned()),
            ("GRANARY_OIDC_ADMINISTRATOR", "group:platform".to_owned()),
            ("GRANARY_OIDC_WORKER", "group:workers".to_owned()),
            ("GRANARY_JOB_SLOTS", "0".to_owned()),
            ("GRANARY_METADATA_ENDPOINT", at(ports[0][1])),
            ("GRANARY_STORAGE_ENDPOINT", at(ports[1][1])),
        ];
        for (role, [outside, inside]) in ROLES.iter().zip(&ports) {
            let (outside, inside) = (
                format!("127.0.0.1:{outside}"),
                format!("127.0.0.1:{inside}"),
            );
            let flags = [
                "--roles",
                role,
                "--listen",
                &outside,
                "--internal-listen",
                &inside,
            ];
            lab.serve(&flags, &env).await;
        }
        let paths = [
            "/granary.storage.",
            "/granary.pipeline.",
            "/granary.job.",
            "/",
        ];
        let services = paths.into_iter().zip([1, 2, 3, 0]);
        let services = services.map(|(path, role)| (path, at(ports[role][0])));
        lab.endpoint = Front::start(services.collect()).await.endpoint();
        let token = |subject, group| issuer.token(&key, subject, &json!({"groups": [group]}));
        lab.worker_token = Some(token("truck", "workers"));
        let token = token("root", "platform");
        lab.identity = [
            ("GRANARY_TOKEN", token),
            ("GRANARY_PROJECT", "default".into()),
        ];
        Some(lab)
    }

    async fn serve(&mut self, flags: &[&str], env: &[(&str, String)]) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let mut command = self.exporting(program());
        command.args([
            "serve",
            "--log-format",
            "json",
            "--log",
            "info,granary_runtime=debug",
        ]);
        command.args(flags).stderr(log.unwrap());
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let mut server = command.spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        assert_eq!(
            line.unwrap().unwrap().as_deref(),
            Some("ready"),
            "{}",
            self.log()
        );
        self.processes.push(server);
    }

    fn exporting(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("TRACEPARENT")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", self.receiver.endpoint())
            // As soon as it can be: a test waits for it.
            .env("OTEL_BSP_SCHEDULE_DELAY", "50");
        command
    }

    /// A worker in a process of its own.
    pub(crate) async fn start_worker(&mut self) {
        let token = match &self.worker_token {
            Some(token) => token.clone(),
            None => {
                let create = ["token", "create", "truck", "--role", "worker"];
                self.run(&create).await.trim().to_owned()
            }
        };
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let work = self.path("work").display().to_string();
        let mut command = self.command(&["worker", "run", "--name", "truck", "--folder", &work]);
        command.env("GRANARY_TOKEN", token).stderr(log.unwrap());
        self.processes.push(command.spawn().unwrap());
    }

    /// As which service a part of the platform exports.
    pub(crate) fn service(&self, part: &str) -> String {
        match part {
            "cli" => "granary".into(),
            "worker" => "granary-worker".into(),
            _ if !self.apart => "granary-embedded".into(),
            role => format!("granary-{role}"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let file = self.path(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.exporting(program());
        command.env("GRANARY_ENDPOINT", &self.endpoint);
        command.envs(self.identity.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        finish(self.command(arguments)).await.ok()
    }

    pub(crate) async fn json(&self, arguments: &[&str]) -> Json {
        let said = self
            .run(&[&["--output", "json"][..], arguments].concat())
            .await;
        serde_json::from_str(&said).unwrap()
    }

    /// Ends what runs, each within its time.
    pub(crate) async fn stop(mut self) {
        while let Some(mut process) = self.processes.pop() {
            let id = process.id().unwrap().to_string();
            assert!(
                Command::new("kill")
                    .arg(id)
                    .status()
                    .await
                    .unwrap()
                    .success()
            );
            let ended = tokio::time::timeout(PATIENCE, process.wait()).await;
            assert!(ended.expect("it goes on").unwrap().success());
        }
    }
}
