//! Which of the four services a process is, and where it finds the others.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use granary_core::{Error, Result, name::quote, units::Span};
use url::Url;

use super::values::address;
use crate::settings::File;

/// Longer than whoever sends calls needs to learn that it should not.
const MAX_DRAIN_DELAY: Duration = Duration::from_secs(300);

/// Flags of services that are processes of their own.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Services apart")]
pub(super) struct ApartFlags {
    /// The services of this process: metadata, storage, pipeline, job [default: all four]
    #[arg(
        long,
        env = "GRANARY_ROLES",
        value_name = "SERVICE",
        value_delimiter = ','
    )]
    roles: Vec<String>,
    /// Where the calls of services in other processes are answered; nobody else should reach it [default: 127.0.0.1:7072, if not all services are
    /// here]
    #[arg(long, env = "GRANARY_INTERNAL_LISTEN", value_name = "ADDRESS")]
    internal_listen: Option<SocketAddr>,
    /// Where metadata answers calls of other services, if it is elsewhere, such as http://granary-metadata:7072: calls go round among all
    /// addresses behind all of its names
    #[arg(
        long,
        env = "GRANARY_METADATA_ENDPOINT",
        value_name = "URL",
        value_delimiter = ','
    )]
    metadata_endpoint: Vec<String>,
    /// The same of storage, for pipeline and job
    #[arg(
        long,
        env = "GRANARY_STORAGE_ENDPOINT",
        value_name = "URL",
        value_delimiter = ','
    )]
    storage_endpoint: Vec<String>,
    /// How long calls are still taken after SIGTERM, while health says that it is over [default: 0s]
    #[arg(long, env = "GRANARY_DRAIN_DELAY", value_name = "DURATION")]
    drain_delay: Option<Span>,
}

/// What the file of settings says of it.
#[derive(Debug, Default)]
pub(super) struct Filed {
    roles: Vec<String>,
    internal_listen: Option<String>,
    metadata_endpoint: Vec<String>,
    storage_endpoint: Vec<String>,
    drain_delay: Option<Span>,
}

impl Filed {
    pub(super) fn take(file: &mut File) -> Self {
        Self {
            roles: std::mem::take(&mut file.roles),
            internal_listen: file.internal_listen.take(),
            metadata_endpoint: std::mem::take(&mut file.metadata_endpoint),
            storage_endpoint: std::mem::take(&mut file.storage_endpoint),
            drain_delay: file.drain_delay.take(),
        }
    }
}

impl ApartFlags {
    /// Where the other services are, unless all are here, and how long to wait at the end.
    pub(super) fn settle(self, file: Filed) -> Result<(Option<Apart>, Duration)> {
        let delay = self.drain_delay.or(file.drain_delay);
        let delay = delay.map_or(Duration::ZERO, |Span(delay)| delay);
        if delay > MAX_DRAIN_DELAY {
            return Err(Error::invalid("drain_delay", "expected at most 5m"));
        }
        let roles = roles(&either(self.roles, file.roles))?;
        if roles.is_empty() || roles.len() == Service::ALL.len() {
            return Ok((None, delay));
        }
        let usual = SocketAddr::from(([127, 0, 0, 1], 7072));
        let at = |setting, flags, file| {
            let texts = either(flags, file);
            let all = texts.iter().map(|text| endpoint(setting, text));
            all.collect::<Result<Vec<_>>>()
        };
        let apart = Apart {
            roles,
            internal_listen: self.internal_listen.map_or_else(
                || address("internal_listen", file.internal_listen, usual),
                Ok,
            )?,
            metadata: at(
                "metadata_endpoint",
                self.metadata_endpoint,
                file.metadata_endpoint,
            )?,
            storage: at(
                "storage_endpoint",
                self.storage_endpoint,
                file.storage_endpoint,
            )?,
        };
        apart.check()?;
        Ok((Some(apart), delay))
    }
}

/// One of the four services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Projects, datasets, sessions, assets, labels, snapshots, events, identity and usage. It calls none of the others.
    Metadata,
    /// Uploads and downloads.
    Storage,
    /// Checks and transforms.
    Pipeline,
    /// The catalogue, jobs and workers.
    Job,
}

impl Service {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Metadata, Self::Storage, Self::Pipeline, Self::Job];

    /// Its name, as `--roles` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Storage => "storage",
            Self::Pipeline => "pipeline",
            Self::Job => "job",
        }
    }
}

/// Where the services are that a process does not have itself.
#[derive(Clone, Debug)]
pub struct Apart {
    /// The services of this process.
    pub roles: BTreeSet<Service>,
    /// Where the calls of other processes' services are answered.
    pub internal_listen: SocketAddr,
    /// Where Metadata answers such calls; needed unless it is here.
    pub metadata: Vec<Url>,
    /// The same of Storage; needed by pipeline and job.
    pub storage: Vec<Url>,
}

// Empty ones, as empty variables give them, count as not there.
fn either(flags: Vec<String>, file: Vec<String>) -> Vec<String> {
    let flags: Vec<_> = flags.into_iter().filter(|text| !text.is_empty()).collect();
    if flags.is_empty() { file } else { flags }
}

/// Reads names of services.
fn roles(names: &[String]) -> Result<BTreeSet<Service>> {
    let one = |name: &String| {
        let service = Service::ALL
            .into_iter()
            .find(|service| service.name() == name.trim());
        service.ok_or_else(|| {
            Error::invalid(
                "roles",
                format!(
                    "expected some of metadata, storage, pipeline and job, got {}",
                    quote(name)
                ),
            )
        })
    };
    names.iter().map(one).collect()
}

/// Reads where a service answers.
fn endpoint(setting: &str, text: &str) -> Result<Url> {
    let fits = |url: &Url| {
        url.scheme() == "http"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(fits).ok_or_else(|| {
        Error::invalid(
            setting,
            format!(
                "expected a URL such as http://granary-metadata:7072, got {}",
                quote(text)
            ),
        )
    })
}

impl Apart {
    /// What is missing for services that are not together.
    fn check(&self) -> Result<()> {
        let has = |service| self.roles.contains(&service);
        let missing = |setting: &str, flag: &str, what: &str| {
            Err(Error::invalid(
                setting,
                format!("{what}: say where it answers with {flag}"),
            ))
        };
        if self.metadata.is_empty() && !has(Service::Metadata) {
            return missing(
                "metadata_endpoint",
                "--metadata-endpoint",
                "every service calls metadata, which is not here",
            );
        }
        let calls_storage = has(Service::Pipeline) || has(Service::Job);
        if self.storage.is_empty() && calls_storage && !has(Service::Storage) {
            return missing(
                "storage_endpoint",
                "--storage-endpoint",
                "pipeline and job call storage, which is not here",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_are_read_and_others_named() {
        let names = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let read = roles(&names("storage, metadata")).unwrap();
        assert_eq!(read, [Service::Metadata, Service::Storage].into());
        let error = roles(&names("storge")).unwrap_err().to_string();
        assert_eq!(
            error,
            "roles: expected some of metadata, storage, pipeline and job, got \"storge\""
        );
    }

    #[test]
    fn whoever_is_called_has_to_be_somewhere() {
        let apart = |role, metadata: Option<&str>| Apart {
            roles: [role].into(),
            internal_listen: "127.0.0.1:7072".parse().unwrap(),
            metadata: metadata
                .iter()
                .map(|url| endpoint("metadata_endpoint", url).unwrap())
                .collect(),
            storage: Vec::new(),
        };
        let said = |apart: Apart| apart.check().unwrap_err().to_string();
        assert!(apart(Service::Metadata, None).check().is_ok());
        assert!(said(apart(Service::Storage, None)).contains("--metadata-endpoint"));
        let there = Some("http://metadata:7072");
        assert!(apart(Service::Storage, there).check().is_ok());
        assert!(said(apart(Service::Job, there)).contains("--storage-endpoint"));
        for wrong in ["metadata:7072", "https://m", "http://m/x", "http://u@m"] {
            assert!(endpoint("metadata_endpoint", wrong).is_err(), "{wrong}");
        }
    }
}
