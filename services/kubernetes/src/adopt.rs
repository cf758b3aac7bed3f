//! After a restart: the attempts that are under way in the cluster are taken over.

use std::{collections::BTreeMap, time::Duration};

use granary_core::name::JobName;
use granary_proto::job::v1::HeldLease;
use k8s_openapi::api::batch::v1::Job;

use crate::{
    cluster::{Cluster, Failure},
    manifest::Known,
    names,
};

/// An attempt that was found in the cluster.
#[derive(Debug)]
pub(crate) struct Found {
    pub known: Known,
    pub job: Job,
}

impl Found {
    /// The lease that it is of.
    pub(crate) fn lease(&self) -> HeldLease {
        HeldLease {
            job: self.known.job.to_string(),
            lease_number: self.known.lease,
        }
    }
}

/// All attempts whose end the service does not know. A Job that was not let begin was not finished: it is deleted, and its lease goes back.
pub(crate) async fn find(cluster: &Cluster) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for job in cluster.untold().await? {
        let begun = job.spec.as_ref().and_then(|spec| spec.suspend) != Some(true);
        match known(&job) {
            Some(known) if begun && job.metadata.deletion_timestamp.is_none() => {
                found.push(Found { known, job });
            }
            _ => {
                let name = job.metadata.name.as_deref().unwrap_or_default();
                tracing::info!(name, "deletes what was not finished");
                cluster.delete(name).await?;
            }
        }
    }
    Ok(found)
}

/// What the marks of a Job say.
fn known(job: &Job) -> Option<Known> {
    let marks = job.metadata.annotations.as_ref()?;
    Some(Known {
        job: JobName::parse(marks.get(names::JOB)?).ok()?,
        lease: number(marks, names::LEASE)?,
        object: job.metadata.name.clone()?,
        memory_bytes: number(marks, names::MEMORY)?,
        timeout: Duration::from_secs(number(marks, names::TIMEOUT)?),
    })
}

fn number<N: std::str::FromStr>(marks: &BTreeMap<String, String>, name: &str) -> Option<N> {
    marks.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::{lease, options};

    #[test]
    fn a_job_says_which_attempt_it_is() {
        let lease = lease();
        let one = Known::of(&lease).unwrap();
        let job = crate::manifest::job(&options(), &one, &lease)
            .unwrap()
            .unwrap();
        let read = known(&job).unwrap();
        assert_eq!(
            (&read.job, read.lease, &read.object),
            (&one.job, one.lease, &one.object)
        );
        assert_eq!(
            (read.memory_bytes, read.timeout),
            (one.memory_bytes, one.timeout)
        );
        assert!(known(&Job::default()).is_none());
    }
}
