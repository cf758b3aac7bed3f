//! The table `[kubernetes]` of the file of settings.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use granary_core::{
    Error, Result,
    name::quote,
    units::{Size, Span},
};
use granary_worker::pod::Endpoints;
use serde::{Deserialize, Serialize};
use url::Url;

const MAX_JOBS: usize = 10_000;
const POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// What the file says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    namespace: Option<String>,
    image: Option<String>,
    image_pull_policy: Option<String>,
    service_account: Option<String>,
    ttl: Option<Span>,
    max_jobs: Option<usize>,
    max_output: Option<Size>,
    metadata_endpoint: Option<String>,
    storage_endpoint: Option<String>,
    job_endpoint: Option<String>,
    kubeconfig: Option<PathBuf>,
    image_patience: Option<Span>,
    schedule_patience: Option<Span>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// Where jobs run, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that do not keep jobs away.
    pub tolerations: Vec<Toleration>,
    /// What graphics processors are called there; `nvidia.com/gpu` if not given.
    pub gpu_resource: Option<String>,
}

/// A taint that does not keep jobs away, as Kubernetes has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Toleration {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    #[serde(rename(serialize = "tolerationSeconds"), alias = "tolerationSeconds")]
    #[serde(skip_serializing_if = "Option::is_none")]
    toleration_seconds: Option<i64>,
}

/// How jobs run in the cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace of their pods.
    pub namespace: String,
    /// Granary's own image.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`, of Granary's image and of those of jobs; as Kubernetes has it if not given.
    pub image_pull_policy: Option<String>,
    /// Whom pods run as: without any right.
    pub service_account: String,
    /// How long the Job of an attempt stays after its end.
    pub ttl: Duration,
    /// How many run at a time, at most.
    pub max_jobs: usize,
    /// The most that one attempt may leave in the folders that are collected, in bytes.
    pub max_output_bytes: u64,
    /// Where pods find the services.
    pub endpoints: Endpoints,
    /// How to call the cluster from elsewhere; as pods do if not given.
    pub kubeconfig: Option<PathBuf>,
    /// How long an image may fail to come before the attempt ends.
    pub image_patience: Duration,
    /// How long a pod may wait for room before the job is handed back.
    pub schedule_patience: Duration,
    /// Variables of Granary's own containers beside a job's program, such as those that say where traces are exported to. The program has none of
    /// them.
    pub environment: BTreeMap<String, String>,
    /// Profiles by name.
    pub profiles: BTreeMap<String, Profile>,
}

impl Table {
    /// Checks it and fills in what is usual.
    pub fn settle(self) -> Result<Settings> {
        let needed = |name: &str, value: Option<String>| {
            value
                .filter(|text| !text.is_empty())
                .ok_or_else(|| Error::invalid(format!("kubernetes.{name}"), "is missing"))
        };
        let endpoint = |name: &str, value| endpoint(name, &needed(name, value)?);
        let settings = Settings {
            namespace: needed("namespace", self.namespace)?,
            image: needed("image", self.image)?,
            image_pull_policy: self.image_pull_policy,
            service_account: self.service_account.unwrap_or_else(|| "default".into()),
            ttl: span(self.ttl, 3600),
            max_jobs: self.max_jobs.unwrap_or(100),
            max_output_bytes: self
                .max_output
                .map_or(granary_worker::MAX_OUTPUT_BYTES, |Size(bytes)| bytes),
            endpoints: Endpoints {
                metadata: endpoint("metadata_endpoint", self.metadata_endpoint)?,
                storage: endpoint("storage_endpoint", self.storage_endpoint)?,
                job: endpoint("job_endpoint", self.job_endpoint)?,
            },
            kubeconfig: self.kubeconfig,
            image_patience: span(self.image_patience, 300),
            schedule_patience: span(self.schedule_patience, 600),
            environment: self.environment,
            profiles: self.profiles,
        };
        settings.check()?;
        Ok(settings)
    }
}

fn span(span: Option<Span>, usual: u64) -> Duration {
    span.map_or(Duration::from_secs(usual), |Span(span)| span)
}

fn endpoint(name: &str, text: &str) -> Result<Url> {
    let fits = |url: &Url| url.scheme() == "http" && url.has_host() && url.path() == "/";
    Url::parse(text).ok().filter(fits).ok_or_else(|| {
        Error::invalid(
            format!("kubernetes.{name}"),
            format!(
                "expected a URL such as http://granary-job.lab.svc:7070, got {}",
                quote(text)
            ),
        )
    })
}

impl Settings {
    fn check(&self) -> Result<()> {
        if let Some(policy) = &self.image_pull_policy
            && !POLICIES.contains(&policy.as_str())
        {
            return Err(Error::invalid(
                "kubernetes.image_pull_policy",
                format!(
                    "expected Always, IfNotPresent or Never, got {}",
                    quote(policy)
                ),
            ));
        }
        if !(1..=MAX_JOBS).contains(&self.max_jobs) {
            return Err(Error::invalid(
                "kubernetes.max_jobs",
                format!("expected 1 to {MAX_JOBS}, got {}", self.max_jobs),
            ));
        }
        Ok(())
    }

    /// The profile of a name; without one the profile `default`, or none at all. The error says which there are.
    pub(crate) fn profile(&self, name: &str) -> Result<Profile, String> {
        let found = match name {
            "" => Some(self.profiles.get("default").cloned().unwrap_or_default()),
            name => self.profiles.get(name).cloned(),
        };
        found.ok_or_else(|| {
            let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            format!(
                "this cluster has no profile {}: its administrators have set up {}",
                quote(name),
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            )
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Settings as a chart writes them.
    pub(crate) fn settings() -> Settings {
        let table = serde_json::json!({
            "namespace": "lab-jobs",
            "image": "registry.example/granary:0.1.0",
            "image_pull_policy": "IfNotPresent",
            "service_account": "granary-jobs",
            "ttl": "6h",
            "metadata_endpoint": "http://granary-metadata.lab.svc:7070",
            "storage_endpoint": "http://granary-storage.lab.svc:7070",
            "job_endpoint": "http://granary-job.lab.svc:7070",
            "profiles": {
                "gpu": {
                    "node_selector": {"pool": "gpu"},
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                    "gpu_resource": "nvidia.com/gpu",
                },
            },
        });
        serde_json::from_value::<Table>(table)
            .unwrap()
            .settle()
            .unwrap()
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let wrong = |change: fn(&mut Table)| {
            let mut table = Table {
                namespace: Some("jobs".into()),
                image: Some("granary:1".into()),
                metadata_endpoint: Some("http://m:7070".into()),
                storage_endpoint: Some("http://s:7070".into()),
                job_endpoint: Some("http://j:7070".into()),
                ..Table::default()
            };
            change(&mut table);
            table.settle().unwrap_err().to_string()
        };
        assert_eq!(wrong(|t| t.image = None), "kubernetes.image: is missing");
        assert!(
            wrong(|t| t.job_endpoint = Some("j:7070".into()))
                .contains("kubernetes.job_endpoint: expected a URL")
        );
        assert!(
            wrong(|t| t.image_pull_policy = Some("never".into()))
                .contains("image_pull_policy: expected")
        );
        assert!(wrong(|t| t.max_jobs = Some(0)).contains("max_jobs: expected 1 to 10000"));
    }

    #[test]
    fn profiles_are_found_and_those_there_are_are_named() {
        let settings = settings();
        assert_eq!(settings.profile("").unwrap(), Profile::default());
        assert_eq!(
            settings.profile("gpu").unwrap().node_selector["pool"],
            "gpu"
        );
        let error = settings.profile("cpu").unwrap_err();
        assert_eq!(
            error,
            "this cluster has no profile \"cpu\": its administrators have set up gpu"
        );
    }
}
