//! What was last seen of an attempt in the cluster.

use k8s_openapi::api::{
    batch::v1::{Job, JobCondition},
    core::v1::{ContainerState, ContainerStatus, Pod, PodCondition, PodStatus},
};

/// What was last seen of an attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Its Job.
    pub job: Option<Job>,
    /// Whether that is gone.
    pub job_gone: bool,
    /// Its pod.
    pub pod: Option<Pod>,
    /// Whether that is gone; what was last known of it stays.
    pub pod_gone: bool,
    /// Why its pod could not be made, as the cluster said last.
    pub refused: Option<String>,
}

impl Seen {
    /// A condition of its Job that is true.
    pub(crate) fn job_condition(&self, kind: &str) -> Option<&JobCondition> {
        let status = self.job.as_ref()?.status.as_ref()?;
        let mut all = status.conditions.iter().flatten();
        all.find(|condition| condition.type_ == kind && condition.status == "True")
    }

    /// Whether its Job has ended, or is about to, because it took too long.
    pub(crate) fn is_overdue(&self) -> bool {
        ["Failed", "FailureTarget"].iter().any(|kind| {
            let found = self.job_condition(kind);
            found.is_some_and(|found| found.reason.as_deref() == Some("DeadlineExceeded"))
        })
    }

    /// What is known of its pod.
    pub(crate) fn status(&self) -> Option<&PodStatus> {
        self.pod.as_ref()?.status.as_ref()
    }

    /// Whether nothing of its pod runs any more.
    pub(crate) fn pod_ended(&self) -> bool {
        let phase = self.status().and_then(|status| status.phase.as_deref());
        self.pod_gone || matches!(phase, Some("Succeeded" | "Failed"))
    }

    /// A condition of its pod.
    pub(crate) fn pod_condition(&self, kind: &str, status: &str) -> Option<&PodCondition> {
        let mut all = self.status()?.conditions.iter().flatten();
        all.find(|condition| condition.type_ == kind && condition.status == status)
    }

    /// What is known of its containers, in the order in which they start.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        let status = self.status();
        let first = status.and_then(|status| status.init_container_statuses.as_ref());
        let then = status.and_then(|status| status.container_statuses.as_ref());
        first.into_iter().chain(then).flatten()
    }

    /// The state of a container.
    pub(crate) fn container(&self, name: &str) -> Option<&ContainerState> {
        let found = self.containers().find(|status| status.name == name)?;
        found.state.as_ref()
    }
}
