//! Which calls may be made again.

use std::error::Error as StdError;

use tonic::transport;

/// Whether making the call twice is as good as once: those that only read.
pub(super) fn is_repeatable(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    ["Get", "List", "BatchGet", "Check"]
        .iter()
        .any(|verb| method.starts_with(verb))
}

/// Whether a call that failed on its way may have been handled all the same.
pub(super) fn may_have_been_handled(error: &transport::Error) -> bool {
    !causes(error).any(|cause| {
        cause.is::<tonic::ConnectError>()
            || cause
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_canceled)
            || cause.downcast_ref::<h2::Error>().is_some_and(was_not_taken)
    })
}

/// Whether only this call failed, and not its connection: it took too long, or the server ended it alone.
pub(super) fn is_of_one_call(error: &transport::Error) -> bool {
    causes(error).any(|cause| {
        cause.is::<tonic::TimeoutExpired>()
            || cause
                .downcast_ref::<h2::Error>()
                .is_some_and(h2::Error::is_reset)
    })
}

fn causes(error: &transport::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&cause| cause.source())
}

// A server that goes away says which calls it still answers: the others come back with its farewell.
fn was_not_taken(error: &h2::Error) -> bool {
    let farewell = error.is_go_away() && error.is_remote();
    error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (farewell && error.reason() == Some(h2::Reason::NO_ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_is_made_twice() {
        for (path, expected) in [
            ("/granary.metadata.v1.AssetService/BatchGetAssets", true),
            ("/granary.identity.v1.AccessService/CheckAccess", true),
            ("/granary.metadata.v1.SessionService/CreateSession", false),
            ("/granary.metadata.v1.EventService/WatchEvents", false),
            ("", false),
        ] {
            assert_eq!(is_repeatable(path), expected, "{path}");
        }
    }
}
