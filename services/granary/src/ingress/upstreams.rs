//! Where calls go: all to one server, or those of each service to its replicas.

use std::collections::BTreeMap;

use granary_core::{Error, Result, name::quote};

use super::parse::{Host, upstream};
use crate::serve::Service;

/// The cluster of a server that has all services.
const TOGETHER: &str = "granary";

/// Where the services answer.
#[derive(Debug, Clone)]
pub(super) struct Upstreams(BTreeMap<&'static str, Vec<Host>>);

impl Upstreams {
    /// Of one URL, or of `SERVICE=URL` for every service, which may come several times.
    pub(super) fn read(together: Option<String>, apart: &[String]) -> Result<Self> {
        let apart: Vec<_> = apart.iter().filter(|text| !text.is_empty()).collect();
        if together.is_some() && !apart.is_empty() {
            let what = "say where the one server is (upstream), or where each service is (upstreams), not both";
            return Err(Error::invalid("upstream", what));
        }
        if apart.is_empty() {
            return Ok(Self([(TOGETHER, vec![upstream(together)?])].into()));
        }
        let mut all = BTreeMap::<_, Vec<Host>>::new();
        for text in apart {
            let (service, host) = one(text)?;
            all.entry(service.name()).or_default().push(host);
        }
        for service in Service::ALL.map(Service::name) {
            if !all.contains_key(service) {
                return Err(Error::invalid(
                    "upstreams",
                    format!("say also where {service} is: {service}=http://HOST:PORT"),
                ));
            }
        }
        Ok(Self(all))
    }

    /// The name of each cluster, and where its servers are.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &[Host])> {
        self.0.iter().map(|(name, hosts)| (*name, &hosts[..]))
    }

    /// The clusters that answer calls below a prefix of paths.
    pub(super) fn prefixes(&self) -> Vec<(&'static str, &'static str)> {
        let packages = [
            ("/granary.identity.", Service::Metadata),
            ("/granary.metadata.", Service::Metadata),
            ("/granary.storage.", Service::Storage),
            ("/granary.pipeline.", Service::Pipeline),
            ("/granary.job.", Service::Job),
        ];
        match self.0.contains_key(TOGETHER) {
            true => vec![("/granary.", TOGETHER)],
            false => packages
                .map(|(prefix, service)| (prefix, service.name()))
                .into(),
        }
    }

    /// The cluster that answers a call.
    pub(super) fn of(&self, path: &str) -> &'static str {
        let prefixes = self.prefixes().into_iter();
        let mut fitting = prefixes.filter(|(prefix, _)| path.starts_with(prefix));
        fitting.next().map_or(self.usual(), |(_, cluster)| cluster)
    }

    /// The cluster that answers what all of them have: health and reflection.
    pub(super) fn usual(&self) -> &'static str {
        match self.0.contains_key(TOGETHER) {
            true => TOGETHER,
            false => Service::Metadata.name(),
        }
    }
}

fn one(text: &str) -> Result<(Service, Host)> {
    let wrong = || {
        Error::invalid(
            "upstreams",
            format!(
                "expected SERVICE=URL such as storage=http://granary-storage:7070, got {}",
                quote(text)
            ),
        )
    };
    let (name, url) = text.split_once('=').ok_or_else(wrong)?;
    let service = Service::ALL
        .into_iter()
        .find(|service| service.name() == name.trim());
    let host = upstream(Some(url.trim().to_owned())).map_err(|_| wrong())?;
    Ok((service.ok_or_else(wrong)?, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(apart: &str) -> Result<Upstreams> {
        let apart: Vec<_> = apart.split(',').map(str::to_owned).collect();
        Upstreams::read(None, &apart)
    }

    #[test]
    fn calls_go_to_the_one_server_or_to_the_service_that_they_are_of() {
        let together = read("").unwrap();
        assert_eq!(together.of("/granary.job.v1.JobService/GetJob"), "granary");
        assert_eq!(together.of("/grpc.health.v1.Health/Check"), "granary");
        let apart = read("metadata=http://m:1,storage=http://s:1,storage=http://t:2,pipeline=http://p:1,job=http://j:1").unwrap();
        for (path, cluster) in [
            ("/granary.identity.v1.TokenService/GetPrincipal", "metadata"),
            ("/granary.storage.v1.UploadService/GetUpload", "storage"),
            ("/granary.pipeline.v1.RunService/WatchRun", "pipeline"),
            ("/granary.job.v1.JobService/GetJob", "job"),
            (
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                "metadata",
            ),
        ] {
            assert_eq!(apart.of(path), cluster, "{path}");
        }
        let storage = apart.all().find(|(name, _)| *name == "storage");
        assert_eq!(storage.unwrap().1.len(), 2);
    }

    #[test]
    fn a_service_that_is_nowhere_is_named() {
        let said = |text| read(text).unwrap_err().to_string();
        assert!(
            said("metadata=http://m:1,job=http://j:1,storage=http://s:1")
                .contains("where pipeline is")
        );
        let both = Upstreams::read(Some("http://g:1".into()), &["job=http://j:1".into()]);
        assert!(both.unwrap_err().to_string().contains("not both"));
        for wrong in ["metadata", "http://m:1", "meta=http://m:1", "job=m:1"] {
            assert!(said(wrong).contains("expected SERVICE=URL"), "{wrong}");
        }
    }
}
