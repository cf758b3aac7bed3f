//! Why a pod does not start, and how long that is borne.

use std::time::Duration;

use granary_proto::job::v1::FailureClass;
use granary_worker::pod::Said;

use crate::{
    names::PROGRAM,
    seen::Seen,
    verdict::{Limits, Verdict},
};

/// What is wrong for good may still be seen a moment too early.
const SHORT: Duration = Duration::from_secs(20);

/// What registries say of an image that will not come, whoever asks.
const NO_SUCH_IMAGE: [&str; 9] = [
    "not found",
    "manifest unknown",
    "name unknown",
    "does not exist",
    "pull access denied",
    "unauthorized",
    "authentication required",
    "no match for platform",
    "errimageneverpull",
];

/// What keeps the pod from starting, if anything does.
pub(crate) fn trouble(seen: &Seen, limits: &Limits) -> Option<Verdict> {
    if seen.pod.is_none() {
        return seen.refused.as_deref().map(|why| refused(why, limits));
    }
    unschedulable(seen, limits).or_else(|| image(seen, limits))
}

/// A quota is full until something else ends.
pub(crate) fn no_room(why: &str) -> Said {
    Said::returned(format!("the cluster's quota leaves no room now: {why}"))
}

/// The cluster does not let the pod be made.
fn refused(why: &str, limits: &Limits) -> Verdict {
    let (end, patience) = if why.contains("exceeded quota") {
        (no_room(why), limits.schedule_patience)
    } else {
        let message = format!("the cluster does not let its pod be made: {why}");
        (Said::failed(FailureClass::Infrastructure, message), SHORT)
    };
    Verdict::Stuck {
        what: "refused",
        patience,
        end,
    }
}

fn unschedulable(seen: &Seen, limits: &Limits) -> Option<Verdict> {
    let condition = seen.pod_condition("PodScheduled", "False")?;
    if condition.reason.as_deref() != Some("Unschedulable") {
        return None;
    }
    let why = condition.message.as_deref().unwrap_or("no node fits");
    Some(Verdict::Stuck {
        what: "unschedulable",
        patience: limits.schedule_patience,
        end: Said::returned(format!("no node took it: {why}")),
    })
}

fn image(seen: &Seen, limits: &Limits) -> Option<Verdict> {
    let waiting = seen.containers().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some((
            container,
            waiting.reason.as_deref()?,
            waiting.message.as_deref(),
        ))
    });
    let (container, reason, message) = waiting?;
    let users = container.name == PROGRAM;
    let why = format!("{reason}: {}", message.unwrap_or("no more is known"));
    let stuck = |what, failure, patience, message| {
        let end = Said::failed(failure, message);
        Some(Verdict::Stuck {
            what,
            patience,
            end,
        })
    };
    let (program, machinery) = (FailureClass::Application, FailureClass::Infrastructure);
    let image = &container.image;
    match reason {
        "InvalidImageName" if users => {
            let message =
                format!("{image:?} is no name of an image: correct handler.image_url ({why})");
            stuck("image", program, Duration::ZERO, message)
        }
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" if users && is_wrong(&why) => {
            let message = format!(
                "the image {image} cannot be had: correct handler.image_url, or who may pull it ({why})"
            );
            stuck("image", program, SHORT, message)
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable" => {
            let message = format!("the image {image} does not come ({why})");
            stuck("image", machinery, limits.image_patience, message)
        }
        "CreateContainerConfigError" if users => {
            let message = format!("the image {image} cannot be run as jobs are ({why})");
            stuck("container", program, SHORT, message)
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            let message = format!("the container {} does not start ({why})", container.name);
            stuck("container", machinery, limits.image_patience, message)
        }
        _ => None,
    }
}

/// Whether it is the image that is wrong, and not that its registry is away.
fn is_wrong(why: &str) -> bool {
    let why = why.to_lowercase();
    NO_SUCH_IMAGE.iter().any(|said| why.contains(said))
}
