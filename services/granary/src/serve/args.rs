//! The settings of `granary serve`: flags before environment before file before defaults.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use granary_core::{
    Error, Result,
    name::quote,
    units::{Span, parse_duration},
};
use granary_kubernetes::Table;
use granary_runtime::{
    auth::{CLOCK_SKEW, oidc::OidcIssuer},
    secret::Secret,
    telemetry::Format,
};
use url::Url;

use super::{
    oidc,
    service::{self, Apart, Service},
};
use crate::settings::{File, secret};

/// With more, a token that ended would count for too long.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long entries of the audit log are kept unless something else is said.
const AUDIT_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

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
    /// How others reach the embedded object store, such as http://lab.example:7071; the server itself must reach it by this too [default: the
    /// address where it answers]
    #[arg(long, env = "GRANARY_S3_PUBLIC_ENDPOINT", value_name = "URL")]
    s3_public_endpoint: Option<String>,
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
    /// The Ed25519 key of the bundled issuer, PKCS#8 in PEM or DER form [default: made in the data directory]
    #[arg(long, env = "GRANARY_SIGNING_KEY_FILE", value_name = "FILE")]
    signing_key_file: Option<PathBuf>,
    /// How far the clocks of issuers may differ from this machine's, at most 5m [default: 30s]
    #[arg(long, env = "GRANARY_CLOCK_SKEW", value_name = "DURATION")]
    clock_skew: Option<Span>,
    /// How long entries of the audit log are kept, at least 1d [default: 90d]
    #[arg(long, env = "GRANARY_AUDIT_KEPT", value_name = "DURATION")]
    audit_kept: Option<Span>,
    /// How many proxies in front of this server write x-forwarded-for: the audit log then names the address that the outermost of them saw
    /// [default: 0]
    #[arg(long, env = "GRANARY_TRUSTED_HOPS", value_name = "N")]
    trusted_hops: Option<usize>,
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
    // Last, since their headings are for what follows.
    #[command(flatten)]
    oidc: oidc::Flags,
    #[command(flatten)]
    services: service::ApartFlags,
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
    /// What presigned URLs of the embedded object store begin with; its address if not given.
    pub s3_public_endpoint: Option<Url>,
    /// The database; SQLite in the data directory if not given.
    pub database_url: Option<Secret>,
    /// The object store; the embedded one if not given.
    pub object_store: Option<ObjectStoreSettings>,
    /// How many jobs run here at a time.
    pub job_slots: usize,
    /// How it is logged.
    pub log_format: Format,
    /// The issuers of tokens outside; if there are none, the bundled one speaks for everybody.
    pub oidc: Vec<OidcIssuer>,
    /// The key of the bundled issuer; in the data directory if not given.
    pub signing_key_file: Option<PathBuf>,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// How long entries of the audit log are kept.
    pub audit_kept: Duration,
    /// How many proxies in front say where a call came from.
    pub trusted_hops: usize,
    /// Where the other services are, if they are not all in this process.
    pub apart: Option<Apart>,
    /// How long calls are still taken once the process is to end.
    pub drain_delay: Duration,
    /// How jobs run in a cluster, if they do.
    pub kubernetes: Option<granary_kubernetes::Settings>,
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
            s3_public_endpoint: None,
            database_url: None,
            object_store: None,
            job_slots: std::thread::available_parallelism().map_or(1, usize::from),
            log_format: Format::Text,
            oidc: Vec::new(),
            signing_key_file: None,
            clock_skew: CLOCK_SKEW,
            audit_kept: AUDIT_KEPT,
            trusted_hops: 0,
            apart: None,
            drain_delay: Duration::ZERO,
            kubernetes: None,
        }
    }

    /// Whether this process is a service.
    pub fn has(&self, service: Service) -> bool {
        let apart = self.apart.as_ref();
        apart.is_none_or(|apart| apart.roles.contains(&service))
    }

    /// Whether something is to be kept in the data directory: if not, nothing is written to disk at all.
    pub(super) fn needs_folder(&self) -> bool {
        self.database_url.is_none()
            || self.object_store.is_none()
            || self.signing_key_file.is_none()
            || self.oidc.is_empty()
            || (self.has(Service::Job) && self.job_slots > 0)
    }

    /// What to know before others call: who reaches the services and not the store cannot send or fetch a file.
    pub(crate) fn out_of_reach(&self) -> Option<String> {
        let reached = !self.listen.ip().is_loopback();
        let store = self.object_store.is_some()
            || self.s3_public_endpoint.is_some()
            || !self.s3_listen.ip().is_loopback();
        (reached && !store).then(|| {
            format!(
                "calls are answered on {}, but the object store only on {}: others cannot send or fetch files until --s3-listen and \
                 --s3-public-endpoint say where they reach it",
                self.listen, self.s3_listen
            )
        })
    }
}

impl Args {
    /// Puts flags, environment, file and defaults together.
    pub(crate) fn settle(self, mut file: File) -> Result<Settings> {
        let (apart, drain_delay) = self.services.settle(service::Filed::take(&mut file))?;
        let data_dir = self.data_dir.or(file.data_dir);
        let defaults = Settings::in_folder(data_dir.unwrap_or_else(crate::paths::default_data_dir));
        let object_store = self
            .object_store
            .or(file.object_store)
            .map(|url| with_keys(url, self.access_key, self.secret_key))
            .transpose()?;
        let s3_public_endpoint = self
            .s3_public_endpoint
            .or(file.s3_public_endpoint)
            .map(|text| public_endpoint(&text))
            .transpose()?;
        let settings = Settings {
            s3_public_endpoint,
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
            oidc: oidc::issuers(self.oidc, file.oidc)?,
            signing_key_file: self.signing_key_file.or(file.signing_key_file),
            clock_skew: clock_skew(self.clock_skew, file.clock_skew.as_deref())?,
            audit_kept: audit_kept(self.audit_kept, file.audit_kept.as_deref())?,
            trusted_hops: self
                .trusted_hops
                .or(file.trusted_hops)
                .unwrap_or(defaults.trusted_hops),
            apart,
            drain_delay,
            kubernetes: file.kubernetes.map(Table::settle).transpose()?,
            ..defaults
        };
        check_reach(&settings)?;
        check_apart(&settings)?;
        Ok(settings)
    }
}

// Presigned URLs hold the address that clients are to call, and no client can call a wildcard.
fn check_reach(settings: &Settings) -> Result<()> {
    let (s3_listen, public) = (settings.s3_listen, &settings.s3_public_endpoint);
    match (&settings.object_store, public) {
        (Some(_), Some(_)) => Err(Error::invalid(
            "s3_public_endpoint",
            "is of the embedded store: with --object-store, write it there as public_endpoint=URL",
        )),
        (None, None) if s3_listen.ip().is_unspecified() => Err(Error::invalid(
            "s3_listen",
            format!(
                "{s3_listen} is no address that others can call: say how they reach this machine with --s3-public-endpoint, such as \
                 http://lab.example:{}",
                s3_listen.port()
            ),
        )),
        _ => Ok(()),
    }
}

// What services in several processes have in common cannot be in one of them.
fn check_apart(settings: &Settings) -> Result<()> {
    if settings.apart.is_none() {
        return Ok(());
    }
    let wrong = |setting: &str, what: &str| {
        Err(Error::invalid(
            setting,
            format!("with --roles, services are apart, and {what}"),
        ))
    };
    if settings.object_store.is_none() {
        return wrong(
            "object_store",
            "the embedded store is of one process: give one outside with --object-store",
        );
    }
    if settings.signing_key_file.is_none() {
        return wrong(
            "signing_key_file",
            "all of them sign and check with the same key: give it with --signing-key-file",
        );
    }
    let database = settings.database_url.as_ref();
    if !database.is_some_and(|url| url.reveal().starts_with("postgres")) {
        return wrong(
            "database_url",
            "SQLite is of one process: give a PostgreSQL with --database-url",
        );
    }
    if settings.has(Service::Job) && settings.job_slots > 0 {
        return wrong(
            "job_slots",
            "a replica cannot tell its own jobs from another's: set --job-slots 0, and start workers with `granary worker run`",
        );
    }
    if settings.oidc.is_empty() {
        return wrong(
            "oidc_issuer",
            "the bundled issuer is for one process: say whose tokens count with --oidc-issuer",
        );
    }
    Ok(())
}

fn public_endpoint(text: &str) -> Result<Url> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(fits).ok_or_else(|| {
        Error::invalid(
            "s3_public_endpoint",
            format!(
                "expected a URL without a path such as http://lab.example:7071, got {}",
                quote(text)
            ),
        )
    })
}

pub(super) fn address(
    setting: &str,
    text: Option<String>,
    default: SocketAddr,
) -> Result<SocketAddr> {
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

fn audit_kept(flag: Option<Span>, file: Option<&str>) -> Result<Duration> {
    let wrong = |why: String| Error::invalid("audit_kept", why);
    let kept = match (flag, file) {
        (Some(Span(kept)), _) => kept,
        (None, Some(text)) => parse_duration(text).map_err(|error| wrong(error.to_string()))?,
        (None, None) => AUDIT_KEPT,
    };
    if kept < DAY {
        return Err(wrong("expected at least 1d".into()));
    }
    Ok(kept)
}

/// How far clocks may differ.
pub(crate) fn clock_skew(flag: Option<Span>, file: Option<&str>) -> Result<Duration> {
    let wrong = |why: String| Error::invalid("clock_skew", why);
    let skew = match (flag, file) {
        (Some(Span(skew)), _) => skew,
        (None, Some(text)) => parse_duration(text).map_err(|error| wrong(error.to_string()))?,
        (None, None) => CLOCK_SKEW,
    };
    if skew > MAX_CLOCK_SKEW {
        return Err(wrong(
            "expected at most 5m: tokens that ended would count for too long".into(),
        ));
    }
    Ok(skew)
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
            (
                "clock_skew = \"1h\"\n",
                "clock_skew: expected at most 5m: tokens that ended would count for too long",
            ),
            ("audit_kept = \"1h\"\n", "audit_kept: expected at least 1d"),
        ] {
            let error = Args::default().settle(file(text)).unwrap_err();
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn addresses_in_presigned_urls_can_be_called() {
        let settle = |text: &str| Args::default().settle(file(text));
        let error = settle("s3_listen = \"0.0.0.0:7071\"\n")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "s3_listen: 0.0.0.0:7071 is no address that others can call: say how they reach this machine with --s3-public-endpoint, such as \
             http://lab.example:7071"
        );
        let public = "s3_public_endpoint = \"http://lab.example:7071\"\n";
        let settings = settle(&format!("s3_listen = \"[::]:7071\"\n{public}")).unwrap();
        assert_eq!(
            settings.s3_public_endpoint.unwrap().as_str(),
            "http://lab.example:7071/"
        );
        for wrong in [
            "lab.example:7071",
            "http://u:p@lab",
            "http://lab/s3",
            "ftp://lab",
        ] {
            let error = settle(&format!("s3_public_endpoint = \"{wrong}\"\n")).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("s3_public_endpoint: expected a URL"),
                "{error}"
            );
        }
        let outside = Args {
            object_store: Some("s3://lab".into()),
            access_key: Some("k".into()),
            secret_key: Some(Secret::new("s")),
            ..Args::default()
        };
        let error = outside.settle(file(public)).unwrap_err().to_string();
        assert!(error.contains("public_endpoint=URL"), "{error}");
    }

    #[test]
    fn a_store_that_only_this_machine_reaches_is_said_if_others_call() {
        let said = |text: &str| Args::default().settle(file(text)).unwrap().out_of_reach();
        assert_eq!(said(""), None);
        let open = "listen = \"0.0.0.0:7070\"\n";
        assert!(said(open).unwrap().contains("only on 127.0.0.1:7071"));
        assert_eq!(
            said(&format!("{open}s3_public_endpoint = \"http://lab:7071\"\n")),
            None
        );
        assert_eq!(
            said(&format!("{open}s3_listen = \"10.0.0.7:7071\"\n")),
            None
        );
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
