//! The life of a session.

use granary_core::Result;

use super::{WrongState, unknown};

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Takes uploads.
    Open,
    /// Everything arrived.
    Completed,
    /// Every asset is ready.
    Processed,
    /// Something is wrong with it.
    Failed,
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Everything was uploaded.
    Complete,
    /// Pipelines are done with it, and nothing is wrong.
    Accept,
    /// Pipelines are done with it, and something is wrong.
    Refuse,
}

/// The state after an event. A session that ended stays as it ended, however often it is told.
pub(crate) fn next(state: State, event: Event) -> Result<State, WrongState> {
    match (state, event) {
        (State::Open, Event::Complete) => Ok(State::Completed),
        (State::Open, Event::Accept | Event::Refuse) => Err(WrongState {
            state: state.as_str(),
            reason: "complete it before it is finished",
        }),
        (State::Completed, Event::Accept) => Ok(State::Processed),
        (State::Completed, Event::Refuse) => Ok(State::Failed),
        (State::Completed, Event::Complete) | (State::Processed | State::Failed, _) => Ok(state),
    }
}

impl State {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Open, Self::Completed, Self::Processed, Self::Failed];

    /// As it is stored and shown.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Completed => "COMPLETED",
            Self::Processed => "PROCESSED",
            Self::Failed => "FAILED",
        }
    }

    /// From how it is stored.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .map_or_else(|| unknown("session", text), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_has_its_end() {
        use Event::{Accept, Complete, Refuse};
        use State::{Completed, Failed, Open, Processed};
        for (state, event, end) in [
            (Open, Complete, Some(Completed)),
            (Open, Accept, None),
            (Open, Refuse, None),
            (Completed, Complete, Some(Completed)),
            (Completed, Accept, Some(Processed)),
            (Completed, Refuse, Some(Failed)),
            (Processed, Complete, Some(Processed)),
            (Processed, Accept, Some(Processed)),
            (Processed, Refuse, Some(Processed)),
            (Failed, Complete, Some(Failed)),
            (Failed, Accept, Some(Failed)),
            (Failed, Refuse, Some(Failed)),
        ] {
            assert_eq!(next(state, event).ok(), end, "{state:?} {event:?}");
        }
    }

    #[test]
    fn states_are_read_as_they_were_stored() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()).unwrap(), state);
        }
        assert!(State::parse("open").is_err());
    }
}
