//! The settings of `granary serve`: flags before environment before file before defaults.

use std::{net::SocketAddr, path::PathBuf};

use figment::{
    Figment,
    providers::{Format as _, Serialized, Toml},
};
use granary_core::{Error, Result};
use granary_runtime::{secret::Secret, telemetry::Format};
use serde::{Deserialize, Serialize};

/// Flags of `granary serve`.
#[derive(Debug, Clone, Default, clap::Args, Serialize)]
pub struct Args {
    /// Where everything is kept that has no other place: databases, objects, keys, the local token.
    #[arg(long, env = "GRANARY_DATA_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Where gRPC calls are answered [default: 127.0.0.1:7070].
    #[arg(long, env = "GRANARY_LISTEN", value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Where the embedded object store answers S3 calls [default: 127.0.0.1:7071].
    #[arg(long, env = "GRANARY_S3_LISTEN", value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_listen: Option<SocketAddr>,
    /// sqlite:DIR or postgres://USER:PASSWORD@HOST:PORT/DATABASE [default: SQLite in the data directory].
    #[arg(
        long,
        env = "GRANARY_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_url: Option<String>,
    /// s3://BUCKET-PREFIX?endpoint=http://HOST:PORT, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set [default: the embedded store in the
    /// data directory].
    #[arg(long, env = "GRANARY_OBJECT_STORE", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_store: Option<String>,
    /// How many jobs run here at a time; 0 leaves them to outside workers [default: the number of processors].
    #[arg(long, env = "GRANARY_JOB_SLOTS", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_slots: Option<usize>,
    /// What is logged: a level, or directives such as info,granary_job=debug [default: info].
    #[arg(long, env = "GRANARY_LOG", value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How it is logged, to standard error: text or json [default: text].
    #[arg(long, env = "GRANARY_LOG_FORMAT", value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    /// A TOML file with any of these settings, such as data_dir = "/srv/granary".
    #[arg(long, env = "GRANARY_CONFIG_FILE", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide = true)]
    #[serde(skip)]
    access_key: Option<String>,
    #[arg(
        long,
        env = "AWS_SECRET_ACCESS_KEY",
        hide = true,
        hide_env_values = true
    )]
    #[serde(skip)]
    secret_key: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layered {
    data_dir: PathBuf,
    listen: SocketAddr,
    s3_listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    database_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_store: Option<String>,
    job_slots: usize,
    log: String,
    log_format: String,
}

/// What `granary serve` goes by, complete and checked as far as it can be without touching anything.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is kept that has no other place.
    pub data_dir: PathBuf,
    /// Where gRPC calls are answered.
    pub listen: SocketAddr,
    /// Where the embedded object store answers.
    pub s3_listen: SocketAddr,
    /// The database; SQLite in the data directory if not given.
    pub database_url: Option<Secret>,
    /// The object store; the embedded one if not given.
    pub object_store: Option<ObjectStoreSettings>,
    /// How many jobs run here at a time.
    pub job_slots: usize,
    /// What is logged.
    pub log: String,
    /// How it is logged.
    pub log_format: Format,
}

/// An outside object store.
#[derive(Debug, Clone)]
pub struct ObjectStoreSettings {
    /// `s3://BUCKET-PREFIX?endpoint=...`.
    pub url: String,
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: Secret,
}

impl Settings {
    /// The defaults, in a data directory.
    pub fn in_folder(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            s3_listen: SocketAddr::from(([127, 0, 0, 1], 7071)),
            database_url: None,
            object_store: None,
            job_slots: std::thread::available_parallelism().map_or(1, usize::from),
            log: "info,sea_orm_migration=warn,s3s=off".into(),
            log_format: Format::Text,
        }
    }
}

impl Args {
    /// Puts flags, environment, file and defaults together.
    pub fn settle(self) -> Result<Settings> {
        let defaults = Settings::in_folder(crate::paths::default_data_dir());
        let mut layers = Figment::from(Serialized::defaults(Layered {
            data_dir: defaults.data_dir,
            listen: defaults.listen,
            s3_listen: defaults.s3_listen,
            database_url: None,
            object_store: None,
            job_slots: defaults.job_slots,
            log: defaults.log,
            log_format: "text".into(),
        }));
        if let Some(file) = &self.config {
            if !file.is_file() {
                return Err(Error::invalid(
                    "config",
                    format!("cannot read the file {}", file.display()),
                ));
            }
            layers = layers.merge(Toml::file_exact(file));
        }
        let layered: Layered = layers
            .merge(Serialized::defaults(&self))
            .extract()
            .map_err(|error| Error::invalid("config", error.to_string()))?;
        let object_store = layered
            .object_store
            .map(|url| with_keys(url, self.access_key, self.secret_key))
            .transpose()?;
        Ok(Settings {
            data_dir: layered.data_dir,
            listen: layered.listen,
            s3_listen: layered.s3_listen,
            database_url: layered.database_url.map(Secret::new),
            object_store,
            job_slots: layered.job_slots,
            log: layered.log,
            log_format: match layered.log_format.as_str() {
                "text" => Format::Text,
                "json" => Format::Json,
                other => {
                    return Err(Error::invalid(
                        "log_format",
                        format!("expected text or json, got {other:?}"),
                    ));
                }
            },
        })
    }
}

fn with_keys(
    url: String,
    access_key: Option<String>,
    secret_key: Option<String>,
) -> Result<ObjectStoreSettings> {
    match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => Ok(ObjectStoreSettings {
            url,
            access_key,
            secret_key: Secret::new(secret_key),
        }),
        _ => Err(Error::invalid(
            "object_store",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("granary.toml");
        std::fs::write(
            &file,
            "listen = \"127.0.0.1:1\"\ns3_listen = \"127.0.0.1:2\"\n",
        )
        .unwrap();
        let args = Args {
            config: Some(file),
            listen: Some("127.0.0.1:3".parse().unwrap()),
            ..Args::default()
        };
        let settings = args.settle().unwrap();
        assert_eq!((settings.listen.port(), settings.s3_listen.port()), (3, 2));
        assert!(settings.log.starts_with("info"));
    }

    #[test]
    fn unknown_settings_and_missing_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("granary.toml");
        std::fs::write(&file, "lisen = \"127.0.0.1:1\"\n").unwrap();
        let error = Args {
            config: Some(file),
            ..Args::default()
        }
        .settle()
        .unwrap_err()
        .to_string();
        assert!(error.contains("lisen"), "{error}");
        let missing = Args {
            config: Some("nowhere.toml".into()),
            ..Args::default()
        }
        .settle()
        .unwrap_err()
        .to_string();
        assert!(missing.contains("nowhere.toml"), "{missing}");
    }

    #[test]
    fn an_outside_store_needs_keys() {
        let error = Args {
            object_store: Some("s3://lab".into()),
            ..Args::default()
        }
        .settle()
        .unwrap_err()
        .to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
}
