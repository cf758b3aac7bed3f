//! The pod of an attempt: what brings the inputs, what attends the program, and the program in the user's image.

use granary_core::units;
use granary_proto::job::v1::Resources;
use granary_worker::pod::{Command, place};
use serde_json::{Map, Value as Json, json};

use crate::{
    manifest::{Known, MOVING},
    names,
    settings::{Profile, Settings},
};

/// Who all containers run as: the owner of what they share.
const USER: u32 = 65532;
/// What is around the program in its container takes memory too.
const AROUND: u64 = 16 * 1024 * 1024;
/// The memory of Granary's own containers.
const OWN_MEMORY: &str = "256Mi";
const OWN_CPU: &str = "50m";
/// The program's output is kept up to 256 MiB.
const TALK: &str = "512Mi";
const GPUS: &str = "nvidia.com/gpu";

/// What a pod is made of.
pub(crate) struct Shape<'a> {
    pub settings: &'a Settings,
    pub profile: &'a Profile,
    pub image: &'a str,
    pub resources: Resources,
    pub known: &'a Known,
    pub command: Command,
    /// What its own containers follow from, as `traceparent` has it; empty if it is part of no trace.
    pub trace_parent: &'a str,
}

/// The specification of a pod.
pub(crate) fn pod(shape: &Shape<'_>) -> Json {
    let mut spec = json!({
        "restartPolicy": "Never",
        "serviceAccountName": shape.settings.service_account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // What attends the program sends back what it made after the program has ended; who is to end sooner does so.
        "terminationGracePeriodSeconds": MOVING.as_secs(),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [prepare(shape), attend(shape)],
        "containers": [program(shape)],
        "volumes": [
            {"name": "order", "secret": {"secretName": shape.known.object, "defaultMode": 0o440}},
            {"name": "granary", "emptyDir": {}},
            {"name": "talk", "emptyDir": {"sizeLimit": TALK}},
            {"name": "files", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    });
    if !shape.profile.node_selector.is_empty() {
        spec["nodeSelector"] = json!(shape.profile.node_selector);
    }
    if !shape.profile.tolerations.is_empty() {
        spec["tolerations"] = json!(shape.profile.tolerations);
    }
    spec
}

fn prepare(shape: &Shape<'_>) -> Json {
    let mounts = json!([
        {"name": "order", "mountPath": place::ORDER, "readOnly": true},
        {"name": "granary", "mountPath": place::PROGRAM_TO},
        {"name": "files", "mountPath": place::FILES},
    ]);
    own(shape, names::PREPARE, &mounts)
}

fn attend(shape: &Shape<'_>) -> Json {
    let mounts = json!([
        {"name": "order", "mountPath": place::ORDER, "readOnly": true},
        {"name": "files", "mountPath": place::FILES, "readOnly": true},
        {"name": "talk", "mountPath": place::TALK},
    ]);
    let mut container = own(shape, names::ATTEND, &mounts);
    // It goes on beside the program, and ends after it.
    container["restartPolicy"] = "Always".into();
    container
}

/// A container of Granary's own image.
fn own(shape: &Shape<'_>, what: &str, mounts: &Json) -> Json {
    let mut container = json!({
        "name": what,
        "image": shape.settings.image,
        "args": ["attempt", what],
        "resources": {
            "requests": {"cpu": OWN_CPU, "memory": OWN_MEMORY},
            "limits": {"memory": OWN_MEMORY},
        },
        "securityContext": confined(),
        "volumeMounts": mounts,
    });
    let variables = shape.settings.environment.iter();
    let traced = [("TRACEPARENT", shape.trace_parent)];
    let env: Vec<Json> = variables
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(traced.into_iter().filter(|(_, value)| !value.is_empty()))
        .map(|(name, value)| json!({"name": name, "value": literal(value)}))
        .collect();
    if !env.is_empty() {
        container["env"] = env.into();
    }
    pull(shape.settings, &mut container);
    container
}

/// The user's container: the files of the job, and nothing by which it could ask for more.
fn program(shape: &Shape<'_>) -> Json {
    let timeout = units::format_duration(shape.known.timeout);
    let around = [
        "/granary/granary",
        "attempt",
        "exec",
        "--timeout",
        &timeout,
        "--",
    ];
    let arguments = shape.command.arguments.iter().map(|text| literal(text));
    let command: Vec<String> = around
        .into_iter()
        .map(Into::into)
        .chain(arguments)
        .collect();
    let variables = shape.command.variables.iter();
    let env: Vec<Json> = variables
        .map(|(name, value)| json!({"name": name, "value": literal(value)}))
        .collect();
    let mut container = json!({
        "name": names::PROGRAM,
        "image": shape.image,
        "command": command,
        "env": env,
        "workingDir": place::FILES,
        "resources": resources(shape),
        "securityContext": confined(),
        "volumeMounts": [
            {"name": "granary", "mountPath": place::PROGRAM, "readOnly": true},
            {"name": "talk", "mountPath": place::TALK},
            {"name": "files", "mountPath": place::FILES},
            {"name": "tmp", "mountPath": place::TMP},
        ],
    });
    pull(shape.settings, &mut container);
    container
}

fn pull(settings: &Settings, container: &mut Json) {
    if let Some(policy) = &settings.image_pull_policy {
        container["imagePullPolicy"] = policy.as_str().into();
    }
}

fn confined() -> Json {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// Memory is asked for and limited alike, so that a job gets what it may use; processors are shared fairly.
fn resources(shape: &Shape<'_>) -> Json {
    let memory = (shape.known.memory_bytes + AROUND).to_string();
    let millicpus = (shape.resources.cpus * 1000.0).ceil().max(1.0) as u64;
    let mut limits = Map::from_iter([("memory".to_owned(), json!(memory))]);
    if shape.resources.gpus > 0 {
        let name = shape.profile.gpu_resource.as_deref().unwrap_or(GPUS);
        limits.insert(name.to_owned(), json!(shape.resources.gpus.to_string()));
    }
    json!({
        "requests": {"cpu": format!("{millicpus}m"), "memory": memory},
        "limits": limits,
    })
}

/// Kubernetes reads `$(NAME)` in commands and variables: two dollars stand for one.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_command_is_read_by_kubernetes() {
        assert_eq!(literal("$(HOME) $$ a"), "$$(HOME) $$$$ a");
    }
}
