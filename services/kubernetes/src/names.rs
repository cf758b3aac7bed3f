//! How objects in the cluster are called and marked.

use granary_core::{id, name::JobName};

/// The worker whose attempts these are.
pub(crate) const WORKER: &str = "granary.dev/worker";
/// There once the service knows how the attempt ended.
pub(crate) const TOLD: &str = "granary.dev/told";
/// On pods that may reach others over the network: a network policy goes by it.
pub const EGRESS: &str = "granary.dev/egress";
/// The job, by its whole name.
pub(crate) const JOB: &str = "granary.dev/job";
/// The attempt's number.
pub(crate) const ATTEMPT: &str = "granary.dev/attempt";
/// The lease's number.
pub(crate) const LEASE: &str = "granary.dev/lease";
/// The memory that the job may use, in bytes.
pub(crate) const MEMORY: &str = "granary.dev/memory-bytes";
/// The longest that it may run, in seconds.
pub(crate) const TIMEOUT: &str = "granary.dev/timeout-seconds";
/// What Kubernetes marks the pods of a Job with.
pub(crate) const JOB_OF_POD: &str = "batch.kubernetes.io/job-name";

/// The container that brings the inputs.
pub(crate) const PREPARE: &str = "prepare";
/// The one that streams output and sends back what was made.
pub(crate) const ATTEND: &str = "attend";
/// The user's.
pub(crate) const PROGRAM: &str = "program";

/// What is readable of a job's id in the name of its objects.
const READABLE: usize = 30;

/// The name of the objects of a lease: the same each time, so that making them twice makes one.
pub(crate) fn object(job: &JobName, lease: i64) -> String {
    let readable: String = job.job.chars().take(READABLE).collect();
    let digest = id::digest(&[&job.project, &job.job]);
    let short: String = digest.chars().take(10).collect();
    format!("{}-{short}-{lease}", readable.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_each_time_and_of_one_lease_only() {
        let long = "a".repeat(29) + "-" + &"b".repeat(33);
        let job = |project: &str, id: &str| JobName::new(project, id).unwrap();
        let one = object(&job("p", &long), 1);
        assert_eq!(one, object(&job("p", &long), 1));
        assert!(
            one.starts_with(&("a".repeat(29) + "-")) && one.len() <= 63,
            "{one}"
        );
        assert!(!one.contains("--"), "{one}");
        let others = [
            object(&job("q", &long), 1),
            object(&job("p", &long), 2),
            object(&job("p", &(long + "")), 3),
        ];
        assert!(!others.contains(&one));
    }
}
