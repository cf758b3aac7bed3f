//! What an attempt is in the cluster: a Job, and a Secret with what its pod is told.

use std::time::Duration;

use granary_core::{Result, name::JobName};
use granary_proto::job::v1::{Job as Asked, Lease};
use granary_runtime::trace::{self, Parent};
use granary_worker::pod::{Order, command, place};
use k8s_openapi::api::{batch::v1::Job, core::v1::Secret};
use serde_json::json;

use crate::{
    Options, broken,
    names::{self, object},
    pod::{Shape, pod},
};

/// How long bringing inputs and images may take, and how long sending back what was made.
pub(crate) const MOVING: Duration = Duration::from_secs(6 * 3600);

/// What is known of a lease, once it is understood.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Its job.
    pub job: JobName,
    /// The lease's number.
    pub lease: i64,
    /// The name of its objects.
    pub object: String,
    /// The memory that its program may use, in bytes.
    pub memory_bytes: u64,
    /// The longest that its program may run.
    pub timeout: Duration,
}

impl Known {
    /// Reads a lease.
    pub(crate) fn of(lease: &Lease) -> Result<Self> {
        let asked = lease.job.clone().unwrap_or_default();
        let job = JobName::parse(&asked.name)?;
        let resources = asked.resources.unwrap_or_default();
        Ok(Self {
            object: object(&job, lease.lease_number),
            lease: lease.lease_number,
            memory_bytes: u64::try_from(resources.memory_bytes).unwrap_or_default(),
            timeout: resources
                .timeout
                .and_then(|timeout| timeout.try_into().ok())
                .unwrap_or(Duration::from_secs(3600)),
            job,
        })
    }

    /// How long its Job may take in all.
    fn deadline(&self) -> Duration {
        self.timeout + MOVING
    }

    /// How long the token of its pod has to be good.
    pub(crate) fn token_lifetime(&self) -> Duration {
        self.deadline() + MOVING
    }
}

fn profile_of(asked: &Asked, lease: &Lease) -> String {
    let handler = lease.entrypoint.as_ref().and_then(|e| e.handler.as_ref());
    let own = Some(asked.profile.clone()).filter(|name| !name.is_empty());
    own.or_else(|| handler.map(|handler| handler.profile.clone()))
        .unwrap_or_default()
}

/// The Job of a lease, suspended: it begins once its Secret is there. The inner error is for whoever submitted the job.
pub(crate) fn job(
    options: &Options,
    known: &Known,
    lease: &Lease,
) -> Result<std::result::Result<Job, String>> {
    let settings = &options.settings;
    let asked = lease.job.clone().unwrap_or_default();
    let handler = lease.entrypoint.clone().unwrap_or_default().handler;
    let handler = handler.unwrap_or_default();
    let profile = match settings.profile(&profile_of(&asked, lease)) {
        Ok(profile) => profile,
        Err(message) => return Ok(Err(message)),
    };
    let mut labels = json!({
        "app.kubernetes.io/name": "granary",
        "app.kubernetes.io/component": "job",
        "app.kubernetes.io/managed-by": "granary",
        names::WORKER: options.worker.worker,
    });
    let annotations = json!({
        names::JOB: known.job.to_string(),
        names::ATTEMPT: lease.attempt.to_string(),
        names::LEASE: known.lease.to_string(),
        names::MEMORY: known.memory_bytes.to_string(),
        names::TIMEOUT: known.timeout.as_secs().to_string(),
    });
    let on_job = labels.clone();
    if handler.network {
        labels[names::EGRESS] = "true".into();
    }
    let submitted = || Parent::parse(&asked.trace_parent);
    let trace_parent = trace::parent().or_else(submitted);
    let trace_parent = trace_parent.map_or_else(String::new, |parent| parent.to_string());
    let shape = Shape {
        settings,
        profile: &profile,
        image: &handler.image_url,
        resources: asked.resources.unwrap_or_default(),
        known,
        command: command(lease),
        trace_parent: &trace_parent,
    };
    let manifest = json!({
        "metadata": {
            "name": known.object,
            "namespace": settings.namespace,
            "labels": on_job,
            "annotations": annotations,
        },
        "spec": {
            "suspend": true,
            "backoffLimit": 0,
            "parallelism": 1,
            "completions": 1,
            // A pod that is being ended is still the one.
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": known.deadline().as_secs(),
            "ttlSecondsAfterFinished": settings.ttl.as_secs(),
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": pod(&shape),
            },
        },
    });
    serde_json::from_value(manifest)
        .map(Ok)
        .map_err(broken("writing a Job"))
}

/// The Secret of a lease, which goes with its Job.
pub(crate) fn secret(
    options: &Options,
    known: &Known,
    lease: &Lease,
    token: &str,
    owner: &str,
) -> Result<Secret> {
    let settings = &options.settings;
    let order = Order::new(
        &options.worker,
        settings.endpoints.clone(),
        settings.max_output_bytes,
        lease,
    )?;
    let order = serde_json::to_string(&order).map_err(broken("writing an order"))?;
    let manifest = json!({
        "metadata": {
            "name": known.object,
            "namespace": settings.namespace,
            "labels": {"app.kubernetes.io/managed-by": "granary", names::WORKER: options.worker.worker},
            "ownerReferences": [{
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": known.object,
                "uid": owner,
            }],
        },
        "immutable": true,
        "stringData": {place::ORDER_FILE: order, place::TOKEN_FILE: token},
    });
    serde_json::from_value(manifest).map_err(broken("writing a Secret"))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
pub(crate) mod tests;
