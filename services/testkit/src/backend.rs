//! What a platform under test stands on: the embedded default, or a fresh database on a real PostgreSQL and fresh buckets on a real S3 server.

use granary::serve::{ObjectStoreSettings, Settings};
use granary_runtime::secret::Secret;
use sea_orm::{ConnectionTrait as _, Database};
use url::Url;

use crate::Wire;

/// What a platform stands on.
#[derive(Clone, Debug)]
pub enum Backend {
    /// SQLite and the embedded object store.
    Embedded,
    /// PostgreSQL and an S3 server.
    Servers {
        /// `postgres://...`, a server on which databases can be made.
        postgres: String,
        /// `http://KEY:SECRET@HOST:PORT/`.
        s3: Url,
    },
}

/// The embedded one, and the servers of `GRANARY_TEST_POSTGRES` and `GRANARY_TEST_S3` if they are set. In CI they must be.
pub fn backends() -> Vec<Backend> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut all = vec![Backend::Embedded];
    match (
        variable("GRANARY_TEST_POSTGRES"),
        variable("GRANARY_TEST_S3"),
    ) {
        (Some(postgres), Some(s3)) => all.push(Backend::Servers {
            postgres,
            s3: Url::parse(&s3).unwrap(),
        }),
        _ if variable("CI").is_some() => {
            panic!("in CI, GRANARY_TEST_POSTGRES and GRANARY_TEST_S3 must be set")
        }
        _ => eprintln!(
            "skipped: PostgreSQL and S3 server (set GRANARY_TEST_POSTGRES and GRANARY_TEST_S3, as `make test` does)"
        ),
    }
    all
}

impl Backend {
    /// The same servers behind wires that can be cut: the database's and the store's.
    pub async fn behind_wires(&self) -> Option<(Self, Wire, Wire)> {
        let Self::Servers { postgres, s3 } = self else {
            return None;
        };
        let behind = |url: &Url, default: u16| {
            let target = format!(
                "{}:{}",
                url.host_str().unwrap(),
                url.port().unwrap_or(default)
            );
            let mut url = url.clone();
            async move {
                let wire = Wire::to(target).await;
                url.set_host(Some("127.0.0.1")).unwrap();
                url.set_port(Some(wire.address().port())).unwrap();
                (url, wire)
            }
        };
        let (postgres, database) = behind(&Url::parse(postgres).unwrap(), 5432).await;
        let (s3, store) = behind(s3, 80).await;
        Some((
            Self::Servers {
                postgres: postgres.into(),
                s3,
            },
            database,
            store,
        ))
    }

    /// Puts a world of its own into the settings: a new database, a new bucket prefix.
    pub async fn prepare(&self, settings: &mut Settings) {
        let Self::Servers { postgres, s3 } = self else {
            return;
        };
        let name = format!("test{}", uuid::Uuid::new_v4().simple());
        let admin = Database::connect(postgres).await.unwrap();
        admin
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        admin.close().await.unwrap();
        let mut database = Url::parse(postgres).unwrap();
        database.set_path(&name);
        settings.database_url = Some(Secret::new(database.as_str()));

        let mut endpoint = s3.clone();
        endpoint.set_username("").unwrap();
        endpoint.set_password(None).unwrap();
        settings.object_store = Some(ObjectStoreSettings {
            url: format!("s3://{name}?endpoint={endpoint}"),
            access_key: s3.username().into(),
            secret_key: Secret::new(s3.password().unwrap_or_default()),
        });
    }
}
