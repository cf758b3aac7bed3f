//! What becomes of an attempt, as a pure function of what was seen of it; nothing else decides how one ended.

use std::time::Duration;

use granary_core::units;
use granary_proto::job::v1::FailureClass;
use granary_worker::pod::Said;
use k8s_openapi::api::core::v1::ContainerStateTerminated;

use crate::{
    names::{ATTEND, PREPARE, PROGRAM},
    seen::Seen,
    trouble::trouble,
};

/// What an attempt may use, and how long it may be stuck.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The memory that its program may use, in bytes.
    pub memory_bytes: u64,
    /// The longest that its program may run.
    pub timeout: Duration,
    /// How long an image may fail to come.
    pub image_patience: Duration,
    /// How long its pod may wait for a node.
    pub schedule_patience: Duration,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It goes on.
    Going,
    /// It does not get on: if that lasts, it ends so.
    Stuck {
        /// What is the matter, to tell whether it is still the same.
        what: &'static str,
        patience: Duration,
        end: Said,
    },
    /// It has ended.
    Ended(Said),
}

/// What becomes of an attempt.
pub(crate) fn verdict(seen: &Seen, limits: &Limits) -> Verdict {
    if seen.pod.is_some() && seen.pod_ended() {
        return Verdict::Ended(ended(seen, limits));
    }
    // Without a pod there is nothing to wait for any more; with one, it is about to end.
    if seen.pod.is_none() {
        if seen.is_overdue() {
            return Verdict::Ended(overdue(Said::default(), limits));
        }
        if seen.job_gone {
            return Verdict::Ended(lost("its Job was deleted in the cluster"));
        }
        if let Some(failed) = seen.job_condition("Failed") {
            let why = failed.message.as_deref().unwrap_or("no more is known");
            return Verdict::Ended(lost(&format!("its pod is gone: {why}")));
        }
    }
    if seen.job_gone {
        return Verdict::Going;
    }
    trouble(seen, limits).unwrap_or(Verdict::Going)
}

/// How it ended, once nothing of its pod runs any more.
fn ended(seen: &Seen, limits: &Limits) -> Said {
    let said = last_words(seen, ATTEND);
    let program = terminated(seen, PROGRAM);
    if let Some(said) = &said
        && said.failure() == FailureClass::Unspecified
    {
        return said.clone();
    }
    if seen.is_overdue() {
        return overdue(said.unwrap_or_default(), limits);
    }
    if said.as_ref().is_some_and(is_out_of_memory)
        || program.is_some_and(|program| program.reason.as_deref() == Some("OOMKilled"))
    {
        return out_of_memory(said.unwrap_or_default(), limits);
    }
    if let Some(said) = &said
        && said.failure() != FailureClass::Infrastructure
    {
        return said.clone();
    }
    if let Some(disrupted) = disrupted(seen) {
        return disrupted.after(said.unwrap_or_default());
    }
    if let Some(prepare) = terminated(seen, PREPARE).filter(|prepare| prepare.exit_code != 0) {
        return not_prepared(seen, prepare);
    }
    match said {
        Some(said) if said.handed_back => {
            Said::returned("its pod was ended in the cluster: the job is queued again").after(said)
        }
        Some(said) => said,
        None => without_words(seen, program),
    }
}

fn is_out_of_memory(said: &Said) -> bool {
    said.failure() == FailureClass::OutOfMemory
}

fn lost(why: &str) -> Said {
    Said::failed(FailureClass::Infrastructure, why)
}

fn overdue(said: Said, limits: &Limits) -> Said {
    let message = format!(
        "took longer than the cluster bears, with its inputs and outputs, for a timeout of {}: raise resources.timeout",
        units::format_duration(limits.timeout)
    );
    Said::failed(FailureClass::Timeout, message).after(said)
}

fn out_of_memory(said: Said, limits: &Limits) -> Said {
    let message = format!(
        "used more than its {} of memory, and was killed (OOMKilled): raise resources.memory",
        units::format_size(limits.memory_bytes)
    );
    let mut end = Said::failed(FailureClass::OutOfMemory, message).after(said);
    end.peak_memory_bytes = end.peak_memory_bytes.max(limits.memory_bytes);
    end
}

/// What the cluster did to the pod, if it did something.
fn disrupted(seen: &Seen) -> Option<Said> {
    let status = seen.status()?;
    let message = status.message.as_deref().unwrap_or("no more is known");
    if let Some(reason) = status.reason.as_deref() {
        let own = [
            "exceeds the limit",
            "exceeded its local",
            "exceeds the total limit",
        ];
        if reason == "Evicted" && own.iter().any(|said| message.contains(said)) {
            let message = format!("used more disk than it may, and was evicted: {message}");
            return Some(Said::failed(FailureClass::Application, message));
        }
        return Some(lost(&match reason {
            "Evicted" => format!("its node was short of something, and evicted it: {message}"),
            "NodeLost" => format!("its node was lost: {message}"),
            "Terminated" | "NodeShutdown" | "Shutdown" => {
                format!("its node was shut down: {message}")
            }
            other => format!("its node did not keep it ({other}): {message}"),
        }));
    }
    let target = seen.pod_condition("DisruptionTarget", "True")?;
    let message = target.message.as_deref().unwrap_or("no more is known");
    Some(lost(&match target.reason.as_deref().unwrap_or_default() {
        "PreemptionByScheduler" => format!("a pod that matters more took its place: {message}"),
        "DeletionByTaintManager" => format!("its node was lost or is to be empty: {message}"),
        "EvictionByEvictionAPI" => format!("its node is drained: {message}"),
        "TerminationByKubelet" => format!("its node ended it: {message}"),
        other => format!("the cluster took it away ({other}): {message}"),
    }))
}

/// Bringing the inputs failed.
fn not_prepared(seen: &Seen, prepare: &ContainerStateTerminated) -> Said {
    let killed = prepare.reason.as_deref() == Some("OOMKilled");
    match last_words(seen, PREPARE) {
        Some(said) => said,
        None if killed => lost("bringing the inputs took more memory than there is for it"),
        None => lost(&format!(
            "bringing the inputs ended with code {}: the log of the container {PREPARE} may say why",
            prepare.exit_code
        )),
    }
}

/// Nobody said how it went.
fn without_words(seen: &Seen, program: Option<&ContainerStateTerminated>) -> Said {
    if seen.pod_gone && program.is_none() {
        return lost("its pod was deleted in the cluster");
    }
    // What cannot be started at all, such as in an image for other machines.
    if let Some(program) = program
        && program.reason.as_deref().is_some_and(|reason| {
            ["StartError", "ContainerCannotRun", "ContainerStatusUnknown"].contains(&reason)
        })
    {
        let why = program.message.as_deref().unwrap_or("no more is known");
        return lost(&format!("its container did not start: {why}"));
    }
    let why = match terminated(seen, ATTEND) {
        Some(attend) if attend.reason.as_deref() == Some("OOMKilled") => {
            "sending back what it made took more memory than there is for it".to_owned()
        }
        Some(attend) => format!(
            "sending back what it made ended with code {}: the log of the container {ATTEND} may say why",
            attend.exit_code
        ),
        None => "its pod ended without a word".to_owned(),
    };
    lost(&why)
}

fn terminated<'a>(seen: &'a Seen, container: &str) -> Option<&'a ContainerStateTerminated> {
    seen.container(container)?.terminated.as_ref()
}

/// What a container said at its end.
fn last_words(seen: &Seen, container: &str) -> Option<Said> {
    Said::parse(terminated(seen, container)?.message.as_deref()?)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
