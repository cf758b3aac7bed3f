//! The settings of `granary serve`: flags before environment before file before defaults.

use std::{net::SocketAddr, path::PathBuf};

use granary_core::{Result, units::Span};
use granary_kubernetes::Table;
use granary_runtime::secret::Secret;

use super::{
    oidc, service,
    settings::{Settings, check_apart, check_ports, check_reach},
    values::{address, audit_kept, clock_skew, format, metrics_listen, public_endpoint, with_keys},
};
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
    /// The Ed25519 key of the bundled issuer, PKCS#8 in PEM or DER form; of several in PEM the first signs [default: made in the data directory]
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
    /// Where Prometheus asks for metrics (GET /metrics), such as 127.0.0.1:9090; nobody else should reach it [default: nowhere]
    #[arg(long, env = "GRANARY_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
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
            metrics_listen: metrics_listen(self.metrics_listen, file.metrics_listen)?,
            kubernetes: file.kubernetes.map(Table::settle).transpose()?,
            ..defaults
        };
        check_reach(&settings)?;
        check_ports(&settings)?;
        check_apart(&settings)?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use granary_runtime::telemetry::Format;

    use super::*;
    use crate::settings::tests::file;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let args = Args {
            listen: Some("127.0.0.1:3".parse().unwrap()),
            ..Args::default()
        };
        let file = file(
            "listen = \"127.0.0.1:1\"\ns3_listen = \"127.0.0.1:2\"\njob_slots = 7\nlog_format = \"json\"\nmetrics_listen = \"127.0.0.1:4\"\n",
        );
        let settings = args.settle(file).unwrap();
        assert_eq!((settings.listen.port(), settings.s3_listen.port()), (3, 2));
        assert_eq!(settings.job_slots, 7);
        assert_eq!(settings.log_format, Format::Json);
        assert_eq!(settings.metrics_listen.unwrap().port(), 4);
        let settings = Args::default().settle(File::default()).unwrap();
        assert_eq!(settings.listen.port(), 7070);
        assert_eq!(settings.metrics_listen, None);
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
            (
                "metrics_listen = \"9090\"\n",
                "metrics_listen: expected an address such as 127.0.0.1:9090, got \"9090\"",
            ),
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
    fn what_the_chart_writes_is_taken_by_each_service() {
        for (name, rendered) in [
            (
                "dev",
                include_str!("../../../../charts/granary/ci/golden/dev.yaml"),
            ),
            (
                "minimal",
                include_str!("../../../../charts/granary/ci/golden/minimal.yaml"),
            ),
            (
                "production",
                include_str!("../../../../charts/granary/ci/golden/production.yaml"),
            ),
        ] {
            let (_, from) = rendered.split_once("  granary.toml: |\n").unwrap();
            let lines = from.lines().map_while(|line| line.strip_prefix("    "));
            let text: String = lines.flat_map(|line| [line, "\n"]).collect();
            for role in service::Service::ALL {
                let args = Args {
                    database_url: Some(Secret::new("postgres://granary:secret@db/granary")),
                    access_key: Some("key".into()),
                    secret_key: Some(Secret::new("secret")),
                    ..Args::default()
                };
                let text = format!("roles = [\"{}\"]\n{text}", role.name());
                let settings = args.settle(file(&text));
                let settings = settings.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(settings.has(role) && !settings.needs_folder(), "{name}");
            }
        }
    }

    #[test]
    fn each_of_the_own_addresses_is_another() {
        let settle = |text: &str| Args::default().settle(file(text));
        let error = settle("metrics_listen = \"127.0.0.1:7071\"\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "metrics_listen: 127.0.0.1:7071 is `s3_listen` already: give each an address of its own"
        );
        let error = settle("listen = \"127.0.0.1:7071\"\n").unwrap_err();
        assert!(error.to_string().starts_with("s3_listen: "), "{error}");
        let error = settle("metrics_listen = \"0.0.0.0:7070\"\n").unwrap_err();
        assert!(error.to_string().contains("`listen` already"), "{error}");
        let any = "listen = \"127.0.0.1:0\"\ns3_listen = \"127.0.0.1:0\"\n";
        settle(any).unwrap();
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
