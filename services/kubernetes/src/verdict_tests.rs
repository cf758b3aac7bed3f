use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use serde_json::{Value as Json, json};

use super::*;

const LIMITS: Limits = Limits {
    memory_bytes: 128 << 20,
    timeout: Duration::from_secs(600),
    image_patience: Duration::from_secs(300),
    schedule_patience: Duration::from_secs(900),
};
const SUCCESS: &str =
    r#"{"exit_code":0,"outputs":{"log":"projects/p/datasets/job-logs/sessions/j-1"}}"#;
const KILLED: &str = r#"{"failure":"FAILURE_CLASS_INFRASTRUCTURE","message":"the program's container was killed","exit_code":-1,"peak_memory_bytes":5,"outputs":{"log":"l"}}"#;
const STOPPED: &str = r#"{"failure":"FAILURE_CLASS_INFRASTRUCTURE","message":"stopped","exit_code":-1,"handed_back":true}"#;
const FAILED: &str = r#"{"failure":"FAILURE_CLASS_APPLICATION","message":"the program exited with code 3","exit_code":3}"#;

fn waiting(name: &str, reason: &str, message: &str) -> Json {
    json!({
        "name": name, "image": "lab/train:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}},
    })
}

fn terminated(name: &str, code: i32, reason: &str, message: &str) -> Json {
    json!({
        "name": name, "image": "lab/train:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}},
    })
}

/// A pod whose inputs were brought, with what became of the other two.
fn pod(phase: &str, attend: Json, program: Json) -> Json {
    let prepare = terminated(PREPARE, 0, "Completed", "");
    json!({
        "phase": phase,
        "initContainerStatuses": [prepare, attend],
        "containerStatuses": [program],
    })
}

fn ran(said: &str, code: i32, reason: &str) -> Json {
    pod(
        "Failed",
        terminated(ATTEND, 0, "Completed", said),
        terminated(PROGRAM, code, reason, ""),
    )
}

fn seen(status: Json) -> Seen {
    let pod: Pod = serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
    Seen {
        job: Some(Job::default()),
        pod: Some(pod),
        ..Seen::default()
    }
}

fn with_condition(mut seen: Seen, kind: &str, reason: &str, message: &str) -> Seen {
    let status = json!({"conditions": [
        {"type": kind, "status": "True", "reason": reason, "message": message},
    ]});
    let job = json!({"metadata": {}, "status": status});
    seen.job = Some(serde_json::from_value(job).unwrap());
    seen
}

fn end(seen: &Seen) -> Said {
    match verdict(seen, &LIMITS) {
        Verdict::Ended(said) => said,
        other => panic!("{other:?}"),
    }
}

fn ends(seen: &Seen, failure: FailureClass, text: &str) {
    let said = end(seen);
    assert_eq!(said.failure(), failure, "{said:?}");
    assert!(said.message.contains(text), "{said:?}");
    assert!(!said.handed_back, "{said:?}");
}

fn stuck(seen: &Seen) -> (&'static str, Duration, Said) {
    match verdict(seen, &LIMITS) {
        Verdict::Stuck {
            what,
            patience,
            end,
        } => (what, patience, end),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_decided_before_there_is_a_reason() {
    assert_eq!(verdict(&Seen::default(), &LIMITS), Verdict::Going);
    let going = [
        json!({"phase": "Pending"}),
        json!({"phase": "Pending", "initContainerStatuses": [waiting(PREPARE, "PodInitializing", "")]}),
        json!({"phase": "Pending", "containerStatuses": [waiting(PROGRAM, "ContainerCreating", "")]}),
        // The program has ended, but what it made is still sent.
        json!({"phase": "Running", "containerStatuses": [terminated(PROGRAM, 137, "OOMKilled", "")]}),
    ];
    for status in going {
        assert_eq!(verdict(&seen(status), &LIMITS), Verdict::Going);
    }
}

#[test]
fn a_success_is_what_was_said_whatever_else_happened() {
    let good = seen(pod(
        "Succeeded",
        terminated(ATTEND, 0, "Completed", SUCCESS),
        terminated(PROGRAM, 0, "Completed", ""),
    ));
    let late = with_condition(good.clone(), "Failed", "DeadlineExceeded", "");
    for seen in [good, late] {
        let said = end(&seen);
        assert_eq!(said.failure(), FailureClass::Unspecified);
        assert_eq!(said.outputs.len(), 1);
    }
}

#[test]
fn the_programs_own_failure_is_what_was_said() {
    ends(
        &seen(ran(FAILED, 3, "Error")),
        FailureClass::Application,
        "code 3",
    );
    // Also if the node was emptied afterwards.
    let mut status = ran(FAILED, 3, "Error");
    status["reason"] = "Evicted".into();
    ends(&seen(status), FailureClass::Application, "code 3");
}

#[test]
fn memory_is_told_with_its_limit() {
    let by_kubernetes = end(&seen(ran(KILLED, 137, "OOMKilled")));
    let within = r#"{"failure":"FAILURE_CLASS_OUT_OF_MEMORY","message":"x","peak_memory_bytes":5}"#;
    let by_the_program = end(&seen(ran(within, 137, "Error")));
    let without_a_word = end(&seen(pod(
        "Failed",
        terminated(ATTEND, 137, "Error", ""),
        terminated(PROGRAM, 137, "OOMKilled", ""),
    )));
    for said in [&by_kubernetes, &by_the_program, &without_a_word] {
        assert_eq!(said.failure(), FailureClass::OutOfMemory);
        assert!(said.message.contains("128MiB") && said.message.contains("OOMKilled"));
        assert_eq!(said.peak_memory_bytes, 128 << 20);
    }
    assert_eq!(
        by_kubernetes.outputs["log"], "l",
        "the log was sent all the same"
    );
}

#[test]
fn a_deadline_is_a_timeout_also_once_the_pod_is_gone() {
    let no_pod = Seen {
        job: Some(Job::default()),
        ..Seen::default()
    };
    let stopped = seen(ran(STOPPED, 143, "Error"));
    for seen in [no_pod, stopped] {
        let seen = with_condition(seen, "FailureTarget", "DeadlineExceeded", "");
        ends(&seen, FailureClass::Timeout, "raise resources.timeout");
    }
    // While the pod is being ended, what attends it may still say something.
    let ending = seen(json!({"phase": "Running"}));
    let ending = with_condition(ending, "FailureTarget", "DeadlineExceeded", "");
    assert_eq!(verdict(&ending, &LIMITS), Verdict::Going);
}

#[test]
fn what_the_cluster_does_is_no_fault_of_the_job() {
    for (reason, message, text) in [
        (
            "Evicted",
            "The node was low on resource: memory.",
            "was short of something",
        ),
        ("NodeLost", "Node n is not responding", "its node was lost"),
        (
            "Terminated",
            "Pod was terminated in response to imminent node shutdown.",
            "was shut down",
        ),
        ("NodeShutdown", "", "was shut down"),
        (
            "OutOfcpu",
            "Node didn't have enough resource: cpu",
            "did not keep it (OutOfcpu)",
        ),
    ] {
        let mut status = ran(STOPPED, 143, "Error");
        (status["reason"], status["message"]) = (reason.into(), message.into());
        ends(&seen(status), FailureClass::Infrastructure, text);
    }
    for (reason, text) in [
        ("PreemptionByScheduler", "matters more"),
        ("DeletionByTaintManager", "node was lost"),
        ("EvictionByEvictionAPI", "is drained"),
        ("TerminationByKubelet", "its node ended it"),
        ("DeletionByPodGC", "took it away (DeletionByPodGC)"),
    ] {
        let mut status = ran(KILLED, 137, "Error");
        status["conditions"] =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": reason}]);
        ends(&seen(status), FailureClass::Infrastructure, text);
    }
}

#[test]
fn who_fills_the_disk_is_at_fault_itself() {
    for message in [
        "Usage of EmptyDir volume \"talk\" exceeds the limit \"512Mi\".",
        "Container program exceeded its local ephemeral storage limit \"1Gi\".",
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
    ] {
        let mut status = ran(KILLED, 137, "Error");
        (status["reason"], status["message"]) = ("Evicted".into(), message.into());
        ends(
            &seen(status),
            FailureClass::Application,
            "used more disk than it may",
        );
    }
}

#[test]
fn inputs_that_do_not_come_say_why_themselves() {
    let status = |code, reason, message| {
        json!({
            "phase": "Failed",
            "initContainerStatuses": [terminated(PREPARE, code, reason, message), waiting(ATTEND, "PodInitializing", "")],
            "containerStatuses": [waiting(PROGRAM, "PodInitializing", "")],
        })
    };
    let said = r#"{"failure":"FAILURE_CLASS_APPLICATION","message":"two inputs would lie at x"}"#;
    ends(
        &seen(status(1, "Error", said)),
        FailureClass::Application,
        "two inputs",
    );
    let machinery = FailureClass::Infrastructure;
    ends(
        &seen(status(137, "OOMKilled", "")),
        machinery,
        "more memory than there is for it",
    );
    ends(
        &seen(status(1, "Error", "panicked")),
        machinery,
        "ended with code 1",
    );
}

#[test]
fn silence_is_explained_by_what_is_known() {
    let machinery = FailureClass::Infrastructure;
    let not_started = pod(
        "Failed",
        terminated(ATTEND, 0, "Completed", ""),
        terminated(PROGRAM, 128, "StartError", "exec format error"),
    );
    ends(
        &seen(not_started),
        machinery,
        "did not start: exec format error",
    );
    let fell = pod(
        "Failed",
        terminated(ATTEND, 1, "Error", ""),
        terminated(PROGRAM, 0, "Completed", ""),
    );
    ends(&seen(fell), machinery, "ended with code 1");
    let hungry = pod(
        "Failed",
        terminated(ATTEND, 137, "OOMKilled", ""),
        terminated(PROGRAM, 0, "Completed", ""),
    );
    ends(&seen(hungry), machinery, "took more memory");
    ends(
        &seen(json!({"phase": "Failed"})),
        machinery,
        "without a word",
    );
    ends(
        &seen(ran(KILLED, 137, "Error")),
        machinery,
        "container was killed",
    );
}

#[test]
fn what_somebody_deletes_is_tried_again() {
    let machinery = FailureClass::Infrastructure;
    let gone = Seen {
        pod_gone: true,
        ..seen(json!({"phase": "Pending"}))
    };
    ends(&gone, machinery, "its pod was deleted");
    let job_gone = Seen {
        job: Some(Job::default()),
        job_gone: true,
        ..Seen::default()
    };
    ends(&job_gone, machinery, "its Job was deleted");
    let still_runs = Seen {
        job_gone: true,
        ..seen(json!({"phase": "Running"}))
    };
    assert_eq!(verdict(&still_runs, &LIMITS), Verdict::Going);
    let never_seen = with_condition(
        Seen::default(),
        "Failed",
        "BackoffLimitExceeded",
        "too often",
    );
    ends(&never_seen, machinery, "its pod is gone: too often");
    // What was stopped by a deletion, and could still say so.
    let handed = end(&Seen {
        pod_gone: true,
        ..seen(ran(STOPPED, 143, "Error"))
    });
    assert!(handed.handed_back && handed.message.contains("its pod was ended"));
}

#[test]
fn images_that_are_wrong_are_told_from_registries_that_are_away() {
    let image = |container, reason, message| {
        let status =
            json!({"phase": "Pending", "containerStatuses": [waiting(container, reason, message)]});
        stuck(&seen(status))
    };
    for (reason, message) in [
        (
            "ErrImagePull",
            "rpc error: code = NotFound desc = failed to pull: docker.io/lab/train:1: not found",
        ),
        (
            "ImagePullBackOff",
            "Back-off pulling image: ErrImagePull: pull access denied, repository does not exist",
        ),
        (
            "ErrImageNeverPull",
            "Container image \"x\" is not present with pull policy of Never",
        ),
        (
            "InvalidImageName",
            "couldn't parse image name \"No Such\": invalid reference format",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root",
        ),
    ] {
        let (_, patience, said) = image(PROGRAM, reason, message);
        assert_eq!(said.failure(), FailureClass::Application, "{said:?}");
        assert!(patience < LIMITS.image_patience && said.message.contains("lab/train:1"));
    }
    for (container, reason, message) in [
        (
            PROGRAM,
            "ErrImagePull",
            "failed to do request: dial tcp 10.0.0.1:443: connect: connection refused",
        ),
        (
            PROGRAM,
            "ImagePullBackOff",
            "unexpected status code 503 Service Unavailable",
        ),
        (PREPARE, "ErrImagePull", "docker.io/granary:9: not found"),
        (PROGRAM, "CreateContainerError", "context deadline exceeded"),
    ] {
        let (_, patience, said) = image(container, reason, message);
        assert_eq!(said.failure(), FailureClass::Infrastructure, "{said:?}");
        assert_eq!(patience, LIMITS.image_patience);
    }
}

#[test]
fn an_image_is_the_same_trouble_whether_it_is_pulled_or_waited_for() {
    let what = |reason| {
        let refused = "connection refused";
        let status =
            json!({"phase": "Pending", "containerStatuses": [waiting(PROGRAM, reason, refused)]});
        stuck(&seen(status)).0
    };
    assert_eq!(what("ErrImagePull"), what("ImagePullBackOff"));
}

#[test]
fn who_finds_no_room_is_handed_back() {
    let refused = |message: &str| {
        let seen = Seen {
            refused: Some(message.into()),
            ..Seen::default()
        };
        stuck(&seen).2
    };
    let quota = refused(
        "Error creating: pods \"j\" is forbidden: exceeded quota: granary, requested: cpu=2",
    );
    assert!(quota.handed_back && quota.message.contains("requested: cpu=2"));
    let forbidden = refused("Error creating: pods \"j\" is forbidden: violates PodSecurity");
    assert!(!forbidden.handed_back);
    assert_eq!(forbidden.failure(), FailureClass::Infrastructure);

    let mut status = json!({"phase": "Pending"});
    status["conditions"] = json!([{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient memory.",
    }]);
    let (what, patience, said) = stuck(&seen(status.clone()));
    assert_eq!(
        (what, patience),
        ("unschedulable", LIMITS.schedule_patience)
    );
    assert!(said.handed_back && said.message.contains("Insufficient memory"));
    status["conditions"][0]["reason"] = "SchedulerError".into();
    assert_eq!(verdict(&seen(status), &LIMITS), Verdict::Going);
    // What was refused before counts no more once there is a pod.
    let made = Seen {
        refused: Some("exceeded quota".into()),
        ..seen(json!({"phase": "Pending"}))
    };
    assert_eq!(verdict(&made, &LIMITS), Verdict::Going);
}
