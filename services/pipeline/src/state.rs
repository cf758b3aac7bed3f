//! The life of a run: a pure function of state and event; nothing else decides a state.

use granary_core::{Error, Result, name::RunName};
use granary_proto::pipeline::v1::RunState;

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEvent {
    /// A worker took it, for the first time or again.
    Claimed,
    /// Every asset has its verdict.
    Finished {
        /// Whether any asset, or the session as a whole, was rejected.
        rejected: bool,
    },
    /// It could not do its work.
    GaveUp,
}

/// The state after an event. An event that has happened already changes nothing.
///
/// # Errors
/// [`Error::Precondition`] if the event does not fit the state.
pub(crate) fn next(run: &RunName, state: RunState, event: RunEvent) -> Result<RunState> {
    use RunState::{Failed, Queued, Running, Succeeded};
    Ok(match (state, event) {
        (Queued | Running, RunEvent::Claimed) => Running,
        (Running, RunEvent::Finished { rejected: false }) => Succeeded,
        (Running, RunEvent::Finished { rejected: true } | RunEvent::GaveUp) => Failed,
        (Succeeded, RunEvent::Finished { rejected: false }) => Succeeded,
        (Failed, RunEvent::Finished { rejected: true } | RunEvent::GaveUp) => Failed,
        _ => {
            return Err(Error::precondition(
                run,
                format!(
                    "{event:?} does not fit the state {}",
                    state.as_str_name().trim_start_matches("RUN_STATE_")
                ),
            ));
        }
    })
}

/// Whether nothing happens to it any more.
pub(crate) fn is_final(state: RunState) -> bool {
    matches!(state, RunState::Succeeded | RunState::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_has_one_answer() {
        use RunState::{Failed, Queued, Running, Succeeded, Unspecified};
        let run = RunName::new("p", "q", "r1").unwrap();
        let good = RunEvent::Finished { rejected: false };
        let bad = RunEvent::Finished { rejected: true };
        for (state, answers) in [
            (Unspecified, [None, None, None, None]),
            (Queued, [Some(Running), None, None, None]),
            (
                Running,
                [Some(Running), Some(Succeeded), Some(Failed), Some(Failed)],
            ),
            (Succeeded, [None, Some(Succeeded), None, None]),
            (Failed, [None, None, Some(Failed), Some(Failed)]),
        ] {
            for (event, answer) in [RunEvent::Claimed, good, bad, RunEvent::GaveUp]
                .into_iter()
                .zip(answers)
            {
                assert_eq!(next(&run, state, event).ok(), answer, "{state:?} {event:?}");
            }
        }
    }
}
