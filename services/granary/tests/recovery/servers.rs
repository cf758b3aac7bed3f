//! A PostgreSQL and an S3 server of the environment, with databases and buckets of a test's own.

use std::path::Path;

use granary_core::layout::Layout;
use granary_runtime::{objects::ObjectsConfig, secret::Secret};
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use url::Url;

pub(crate) struct Servers {
    postgres: Url,
    s3: Url,
    prefix: String,
    database: String,
    dump: Option<String>,
}

impl Servers {
    /// Those that are there for tests, if they are.
    pub(crate) async fn of_environment() -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (postgres, s3) = (
            variable("GRANARY_TEST_POSTGRES"),
            variable("GRANARY_TEST_S3"),
        );
        let missing = postgres.is_none() || s3.is_none();
        assert!(
            !missing || variable("CI").is_none(),
            "in CI, GRANARY_TEST_POSTGRES and GRANARY_TEST_S3 must be set"
        );
        let mut servers = Self {
            postgres: Url::parse(&postgres?).unwrap(),
            s3: Url::parse(&s3?).unwrap(),
            prefix: name(),
            database: String::new(),
            dump: None,
        };
        servers.another_database(None).await;
        Some(servers)
    }

    async fn execute(&self, statement: &str) {
        let admin = Database::connect(self.postgres.as_str()).await.unwrap();
        admin.execute_unprepared(statement).await.unwrap();
        admin.close().await.unwrap();
    }

    /// Goes on with another database: an empty one, or what was kept.
    pub(crate) async fn another_database(&mut self, dump: Option<&str>) {
        self.database = name();
        let from = match dump {
            Some(_) => format!(" TEMPLATE {}", self.dump.as_ref().unwrap()),
            None => String::new(),
        };
        self.execute(&format!("CREATE DATABASE {}{from}", self.database))
            .await;
    }

    /// Keeps what the database holds; nobody may be connected to it.
    pub(crate) async fn dump(&mut self) {
        let dump = name();
        let statement = format!("CREATE DATABASE {dump} TEMPLATE {}", self.database);
        self.execute(&statement).await;
        self.dump = Some(dump);
    }

    /// What the database has beside what every one has.
    pub(crate) async fn schemas(&self) -> Vec<String> {
        let mut url = self.postgres.clone();
        url.set_path(&self.database);
        let db = Database::connect(url.as_str()).await.unwrap();
        let names = "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_%'";
        let names = Statement::from_string(DbBackend::Postgres, names);
        let rows = db.query_all_raw(names).await.unwrap();
        db.close().await.unwrap();
        let name = |row: &sea_orm::QueryResult| row.try_get_by_index(0).unwrap();
        rows.iter().map(name).collect()
    }

    fn store(&self) -> String {
        let mut endpoint = self.s3.clone();
        endpoint.set_username("").unwrap();
        endpoint.set_password(None).unwrap();
        format!("s3://{}?endpoint={endpoint}", self.prefix)
    }

    /// What tells the program where they are.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let mut database = self.postgres.clone();
        database.set_path(&self.database);
        let secret = self.s3.password().unwrap_or_default();
        [
            ("GRANARY_DATABASE_URL", database.to_string()),
            ("GRANARY_OBJECT_STORE", self.store()),
            ("AWS_ACCESS_KEY_ID", self.s3.username().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    pub(crate) fn objects(&self) -> ObjectsConfig {
        let secret = Secret::new(self.s3.password().unwrap_or_default());
        ObjectsConfig::parse(&self.store(), self.s3.username().to_owned(), secret).unwrap()
    }

    /// Writes what is in a folder into the bucket of recordings.
    pub(crate) async fn put(&self, files: &Path) {
        let files = format!("{}/", files.display());
        let target = format!("test/{}-raw/", self.prefix);
        mc(&self.s3, &["cp", "--recursive", &files, &target]).await;
    }

    /// Removes an object, or all below a prefix, from the bucket of recordings.
    pub(crate) async fn remove(&self, key: &str) {
        let target = format!("test/{}-raw/{key}", self.prefix);
        mc(&self.s3, &["rm", "--recursive", "--force", &target]).await;
    }
}

async fn mc(s3: &Url, arguments: &[&str]) {
    let program = std::env::var("GRANARY_TEST_MC").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let done = tokio::process::Command::new(program)
        .args(["--config-dir", folder.path().to_str().unwrap()])
        .args(arguments)
        .env("MC_HOST_test", s3.as_str().trim_end_matches('/'))
        .output();
    let done = done.await.unwrap();
    assert!(done.status.success(), "{done:?}");
}

fn name() -> String {
    format!("reindex{}", uuid::Uuid::new_v4().simple())
}

/// The embedded store, as far as it is read from its folder.
pub(crate) fn embedded(root: &Path) -> ObjectsConfig {
    let endpoint = Url::parse("http://127.0.0.1:1").unwrap();
    ObjectsConfig {
        public_endpoint: endpoint.clone(),
        endpoint,
        region: "us-east-1".into(),
        access_key: String::new(),
        secret_key: Secret::new(""),
        layout: Layout::new("granary").unwrap(),
        local_root: Some(root.to_owned()),
    }
}
