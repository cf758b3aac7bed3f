//! The life of an asset.

use granary_core::Result;

use super::{WrongState, unknown};

/// Where an asset is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its bytes are on their way.
    Pending,
    /// Its bytes are in the store.
    Uploaded,
    /// Pipelines check it.
    Validating,
    /// Every check passed.
    Ready,
    /// A check failed.
    Rejected,
}

/// What happens to an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Its bytes are in the store.
    Stored,
    /// Pipelines began.
    Checking,
    /// Every check passed.
    Accepted,
    /// A check failed.
    Refused,
}

const NO_BYTES: &str = "its bytes are not in the store yet";
const ENDED: &str = "the verdict stands and does not change";

/// The state after an event. An event that was applied before, or that a later one has overtaken, changes nothing; only a verdict is never
/// turned into the other one.
pub(crate) fn next(state: State, event: Event) -> Result<State, WrongState> {
    use State::{Pending, Ready, Rejected, Uploaded, Validating};
    let wrong = |reason| {
        Err(WrongState {
            state: state.as_str(),
            reason,
        })
    };
    match (state, event) {
        (Pending, Event::Stored) => Ok(Uploaded),
        (Pending, _) => wrong(NO_BYTES),
        (Uploaded, Event::Checking) => Ok(Validating),
        (Uploaded | Validating, Event::Accepted) => Ok(Ready),
        (Uploaded | Validating, Event::Refused) => Ok(Rejected),
        (Ready, Event::Refused) | (Rejected, Event::Accepted) => wrong(ENDED),
        (Uploaded | Validating | Ready | Rejected, Event::Stored)
        | (Validating | Ready | Rejected, Event::Checking)
        | (Ready, Event::Accepted)
        | (Rejected, Event::Refused) => Ok(state),
    }
}

impl State {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Pending,
        Self::Uploaded,
        Self::Validating,
        Self::Ready,
        Self::Rejected,
    ];

    /// Those from which an event leads elsewhere.
    pub(crate) fn moved_by(event: Event) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |state| next(*state, event).is_ok_and(|end| end != *state))
    }

    /// As it is stored and shown.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Uploaded => "UPLOADED",
            Self::Validating => "VALIDATING",
            Self::Ready => "READY",
            Self::Rejected => "REJECTED",
        }
    }

    /// From how it is stored.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .map_or_else(|| unknown("asset", text), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_has_its_end() {
        use Event::{Accepted, Checking, Refused, Stored};
        use State::{Pending, Ready, Rejected, Uploaded, Validating};
        for (state, event, end) in [
            (Pending, Stored, Some(Uploaded)),
            (Pending, Checking, None),
            (Pending, Accepted, None),
            (Pending, Refused, None),
            (Uploaded, Stored, Some(Uploaded)),
            (Uploaded, Checking, Some(Validating)),
            (Uploaded, Accepted, Some(Ready)),
            (Uploaded, Refused, Some(Rejected)),
            (Validating, Stored, Some(Validating)),
            (Validating, Checking, Some(Validating)),
            (Validating, Accepted, Some(Ready)),
            (Validating, Refused, Some(Rejected)),
            (Ready, Stored, Some(Ready)),
            (Ready, Checking, Some(Ready)),
            (Ready, Accepted, Some(Ready)),
            (Ready, Refused, None),
            (Rejected, Stored, Some(Rejected)),
            (Rejected, Checking, Some(Rejected)),
            (Rejected, Accepted, None),
            (Rejected, Refused, Some(Rejected)),
        ] {
            assert_eq!(next(state, event).ok(), end, "{state:?} {event:?}");
        }
    }

    #[test]
    fn what_an_event_moves_follows_from_the_table() {
        assert_eq!(
            State::moved_by(Event::Accepted).collect::<Vec<_>>(),
            [State::Uploaded, State::Validating]
        );
        assert_eq!(
            State::moved_by(Event::Stored).collect::<Vec<_>>(),
            [State::Pending]
        );
    }

    #[test]
    fn states_are_read_as_they_were_stored() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()).unwrap(), state);
        }
        assert!(State::parse("DELETED").is_err());
    }
}
