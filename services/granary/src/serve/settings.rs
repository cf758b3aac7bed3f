//! What `granary serve` goes by, and what in it cannot be together.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use granary_core::{Error, Result};
use granary_runtime::{
    auth::{CLOCK_SKEW, oidc::OidcIssuer},
    secret::Secret,
    telemetry::Format,
};
use url::Url;

use super::{
    service::{Apart, Service},
    values::AUDIT_KEPT,
};

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
    /// Where metrics are asked for; nowhere if not given.
    pub metrics_listen: Option<SocketAddr>,
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
            metrics_listen: None,
        }
    }

    /// Whether this process is a service.
    pub fn has(&self, service: Service) -> bool {
        let apart = self.apart.as_ref();
        apart.is_none_or(|apart| apart.roles.contains(&service))
    }

    /// Which part of the platform this process is: the services of it, or `embedded` if it is all of them.
    pub(crate) fn component(&self) -> String {
        let Some(apart) = &self.apart else {
            return "embedded".into();
        };
        let names: Vec<_> = apart.roles.iter().map(|role| role.name()).collect();
        names.join("+")
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

// Presigned URLs hold the address that clients are to call, and no client can call a wildcard.
pub(super) fn check_reach(settings: &Settings) -> Result<()> {
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

// Two of the own addresses that are one: the second to be bound would be told that some other program listens there.
pub(super) fn check_ports(settings: &Settings) -> Result<()> {
    let store = settings.object_store.is_none();
    let mut taken = vec![("listen", settings.listen)];
    taken.extend(store.then_some(("s3_listen", settings.s3_listen)));
    let internal = settings.apart.as_ref().map(|apart| apart.internal_listen);
    taken.extend(internal.map(|address| ("internal_listen", address)));
    let metrics = settings.metrics_listen;
    taken.extend(metrics.map(|address| ("metrics_listen", address)));
    for (at, (name, address)) in taken.iter().enumerate() {
        let same = taken[..at].iter().find(|(_, other)| meet(other, address));
        if let Some((other, _)) = same {
            let what = format!("{address} is `{other}` already: give each an address of its own");
            return Err(Error::invalid(*name, what));
        }
    }
    Ok(())
}

fn meet(one: &SocketAddr, other: &SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip(), other.ip());
    let same = one_ip == other_ip || one_ip.is_unspecified() || other_ip.is_unspecified();
    same && one.port() == other.port() && one.port() != 0
}

// What services in several processes have in common cannot be in one of them.
pub(super) fn check_apart(settings: &Settings) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_services_in_several_processes_share_has_to_be_given() {
        let mut settings = Settings::in_folder("/nowhere".into());
        assert!(check_apart(&settings).is_ok() && settings.needs_folder());
        settings.apart = Some(Apart {
            roles: [Service::Job].into(),
            internal_listen: "127.0.0.1:7072".parse().unwrap(),
            metadata: vec![Url::parse("http://m").unwrap()],
            storage: vec![Url::parse("http://s").unwrap()],
        });
        let said = |settings: &Settings| check_apart(settings).unwrap_err().to_string();
        assert!(said(&settings).starts_with("object_store"));
        settings.object_store = Some(ObjectStoreSettings {
            url: "s3://lab".into(),
            access_key: "k".into(),
            secret_key: Secret::new("s"),
        });
        assert!(said(&settings).starts_with("signing_key_file"));
        settings.signing_key_file = Some("/key".into());
        assert!(said(&settings).starts_with("database_url"));
        settings.database_url = Some(Secret::new("sqlite:db"));
        assert!(said(&settings).starts_with("database_url"));
        settings.database_url = Some(Secret::new("postgres://p/granary"));
        assert!(said(&settings).starts_with("job_slots"));
        settings.job_slots = 0;
        assert!(said(&settings).starts_with("oidc_issuer"));
        settings.oidc = vec![OidcIssuer::new(
            "https://id.example",
            vec!["granary".into()],
        )];
        assert!(check_apart(&settings).is_ok());
        // Nothing is left that would be kept in a folder.
        assert!(!settings.needs_folder());
        assert!(settings.has(Service::Job) && !settings.has(Service::Metadata));
    }
}
