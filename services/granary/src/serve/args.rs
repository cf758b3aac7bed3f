//! The settings of `granary serve`: flags before environment before file before defaults.

use std::{net::SocketAddr, path::PathBuf};

use granary_core::{Error, Result, name::quote};
use granary_runtime::{secret::Secret, telemetry::Format};

use crate::settings::{File, secret};

/// Flags of `granary serve`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Where everything is kept that has no other place: databases, objects, keys, the local token [default: ~/.local/share/granary]
    #[arg(long, env = "GRANARY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where gRPC calls are answered [default: 127.0.0.1:7070]
    #[arg(long, env = "GRANARY_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the embedded object store answers S3 calls [default: 127.0.0.1:7071]
    #[arg(long, env = "GRANARY_S3_LISTEN", value_name = "ADDRESS")]
    s3_listen: Option<SocketAddr>,
    /// sqlite:DIR or postgres://USER:PASSWORD@HOST:PORT/DATABASE [default: SQLite in the data directory]
    #[arg(
        long,
        env = "GRANARY_DATABASE_URL",
        value_name = "URL",
        value_parser = secret,
        hide_env_values = true
    )]
    database_url: Option<Secret>,
    /// s3://BUCKET-PREFIX?endpoint=http://HOST:PORT, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set [default: the embedded store in the
    /// data directory]
    #[arg(long, env = "GRANARY_OBJECT_STORE", value_name = "URL")]
    object_store: Option<String>,
    /// How many jobs run here at a time; 0 leaves them to outside workers [default: the number of processors]
    #[arg(long, env = "GRANARY_JOB_SLOTS", value_name = "N")]
    job_slots: Option<usize>,
    /// How is logged what --log asks for: text or json [default: text]
    #[arg(long, env = "GRANARY_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<String>,
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide = true)]
    access_key: Option<String>,
    #[arg(
        long,
        env = "AWS_SECRET_ACCESS_KEY",
        value_parser = secret,
        hide = true,
        hide_env_values = true
    )]
    secret_key: Option<Secret>,
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
            log_format: Format::Text,
        }
    }
}

impl Args {
    /// Puts flags, environment, file and defaults together.
    pub(crate) fn settle(self, file: File) -> Result<Settings> {
        let data_dir = self.data_dir.or(file.data_dir);
        let defaults = Settings::in_folder(data_dir.unwrap_or_else(crate::paths::default_data_dir));
        let object_store = self
            .object_store
            .or(file.object_store)
            .map(|url| with_keys(url, self.access_key, self.secret_key))
            .transpose()?;
        Ok(Settings {
            listen: self
                .listen
                .map_or_else(|| address("listen", file.listen, defaults.listen), Ok)?,
            s3_listen: self.s3_listen.map_or_else(
                || address("s3_listen", file.s3_listen, defaults.s3_listen),
                Ok,
            )?,
            database_url: self.database_url.or(file.database_url),
            object_store,
            job_slots: self
                .job_slots
                .or(file.job_slots)
                .unwrap_or(defaults.job_slots),
            log_format: format(self.log_format.or(file.log_format).as_deref())?,
            ..defaults
        })
    }
}

fn address(setting: &str, text: Option<String>, default: SocketAddr) -> Result<SocketAddr> {
    let Some(text) = text else {
        return Ok(default);
    };
    text.parse().map_err(|_| {
        Error::invalid(
            setting,
            format!(
                "expected an address such as {default}, got {}",
                quote(&text)
            ),
        )
    })
}

fn format(text: Option<&str>) -> Result<Format> {
    match text {
        None | Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        Some(other) => Err(Error::invalid(
            "log_format",
            format!("expected text or json, got {}", quote(other)),
        )),
    }
}

fn with_keys(
    url: String,
    access_key: Option<String>,
    secret_key: Option<Secret>,
) -> Result<ObjectStoreSettings> {
    match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => Ok(ObjectStoreSettings {
            url,
            access_key,
            secret_key,
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
    use crate::settings::tests::file;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let args = Args {
            listen: Some("127.0.0.1:3".parse().unwrap()),
            ..Args::default()
        };
        let file = file(
            "listen = \"127.0.0.1:1\"\ns3_listen = \"127.0.0.1:2\"\njob_slots = 7\nlog_format = \"json\"\n",
        );
        let settings = args.settle(file).unwrap();
        assert_eq!((settings.listen.port(), settings.s3_listen.port()), (3, 2));
        assert_eq!(settings.job_slots, 7);
        assert_eq!(settings.log_format, Format::Json);
        let settings = Args::default().settle(File::default()).unwrap();
        assert_eq!(settings.listen.port(), 7070);
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        for (text, said) in [
            (
                "listen = \"7070\"\n",
                "listen: expected an address such as 127.0.0.1:7070, got \"7070\"",
            ),
            (
                "log_format = \"xml\"\n",
                "log_format: expected text or json, got \"xml\"",
            ),
        ] {
            let error = Args::default().settle(file(text)).unwrap_err();
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn an_outside_store_needs_keys() {
        let error = Args {
            object_store: Some("s3://lab".into()),
            ..Args::default()
        }
        .settle(File::default())
        .unwrap_err()
        .to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
}
