//! The database and the object store of a platform that does not run, for what is done to both of them meanwhile.

use std::{path::PathBuf, time::Duration};

use granary_core::{Error, Result};
use granary_runtime::{db::DatabaseUrl, objects::ObjectsConfig, secret::Secret, task::Tasks};

use super::{DataDir, Settings, store, values::with_keys};
use crate::settings::{File, secret};

/// Flags that say where they are, as `granary serve` has them.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Stores {
    /// Where database and objects are, unless they are named; no server may use it meanwhile [default: ~/.local/share/granary]
    #[arg(long, env = "GRANARY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// sqlite:DIR or postgres://USER:PASSWORD@HOST:PORT/DATABASE [default: SQLite in the data directory]
    #[arg(long, env = "GRANARY_DATABASE_URL", value_name = "URL", value_parser = secret, hide_env_values = true)]
    database_url: Option<Secret>,
    /// s3://BUCKET-PREFIX?endpoint=http://HOST:PORT, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set [default: the embedded store in the
    /// data directory]
    #[arg(long, env = "GRANARY_OBJECT_STORE", value_name = "URL")]
    object_store: Option<String>,
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide = true)]
    access_key: Option<String>,
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", value_parser = secret, hide = true, hide_env_values = true)]
    secret_key: Option<Secret>,
}

impl Stores {
    /// Puts flags, environment, file and defaults together.
    pub(crate) fn settle(self, file: File) -> Result<Settings> {
        let data_dir = self.data_dir.or(file.data_dir);
        let defaults = Settings::in_folder(data_dir.unwrap_or_else(crate::paths::default_data_dir));
        let object_store = self.object_store.or(file.object_store);
        let object_store = object_store
            .map(|url| with_keys(url, self.access_key, self.secret_key))
            .transpose()?;
        Ok(Settings {
            // Only this process calls the embedded store.
            s3_listen: ([127, 0, 0, 1], 0).into(),
            database_url: self.database_url.or(file.database_url),
            object_store,
            ..defaults
        })
    }
}

/// Both of them, held by this process as far as they are in a data directory.
#[derive(Debug)]
pub(crate) struct Offline {
    pub(crate) database: DatabaseUrl,
    pub(crate) objects: ObjectsConfig,
    store: Tasks,
    // Held until the end.
    _data: Option<DataDir>,
}

impl Offline {
    /// Opens them; the embedded store is started. Makes no data directory where there is none, and in a dry run nothing in one.
    pub(crate) async fn open(settings: Settings, dry: bool) -> Result<Self> {
        granary_runtime::install_tls();
        let needed = settings.database_url.is_none() || settings.object_store.is_none();
        let folder = &settings.data_dir;
        if needed && !folder.is_dir() {
            let what =
                "there is no such data directory: name one with --data-dir, or database and store";
            return Err(Error::precondition(folder.display(), what));
        }
        if needed && dry {
            check_whole(&settings)?;
        }
        let data = needed.then(|| DataDir::open(folder)).transpose()?;
        let database = match &settings.database_url {
            Some(url) => DatabaseUrl::parse(url.reveal())?,
            None => DatabaseUrl::Sqlite(DataDir::needed(data.as_ref())?.join("db")),
        };
        let tasks = Tasks::new();
        let objects = store::open(&settings, data.as_ref(), &tasks).await?;
        Ok(Self {
            database,
            objects,
            store: tasks,
            _data: data,
        })
    }

    /// Ends the embedded store.
    pub(crate) async fn close(self) {
        self.store.drain(Duration::from_secs(5)).await;
    }
}

/// Fails if anything would be made in a data directory just by opening it.
fn check_whole(settings: &Settings) -> Result<()> {
    let folder = &settings.data_dir;
    let mut names = vec!["lock", "format"];
    if settings.object_store.is_none() {
        names.extend(["objects", "s3-credentials"]);
    }
    match names.iter().find(|name| !folder.join(name).exists()) {
        None => Ok(()),
        Some(name) => Err(Error::precondition(
            folder.display(),
            format!("there is no {name} in it, and a dry run makes nothing: is it the right one?"),
        )),
    }
}
