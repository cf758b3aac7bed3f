//! The life of a job, as a pure function of state and event; nothing else decides a state.

use granary_core::{Error, Result};
use granary_proto::job::v1::JobState;

/// Where a job is in its life. The numbers are those of the wire and of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Waits for a worker.
    Queued = 1,
    /// A worker took it.
    Assigned = 2,
    /// Its inputs are fetched.
    Preparing = 3,
    /// The program runs.
    Running = 4,
    /// Its outputs are sent.
    Finishing = 5,
    /// It did what it should.
    Succeeded = 6,
    /// It ended otherwise.
    Failed = 7,
    /// Somebody cancelled it.
    Cancelled = 8,
}

/// What happens to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker leased it.
    Acquired,
    /// The worker says how far it is.
    Reported(Progress),
    /// The attempt ended well.
    Succeeded,
    /// The attempt ended badly, and there will be no other.
    Failed,
    /// The attempt ended badly, and there will be another.
    Returned,
    /// Somebody wants it to end.
    CancelAsked,
    /// The worker stopped it, because somebody wanted it to end.
    Cancelled,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It fetches inputs.
    Preparing,
    /// The program runs.
    Running,
    /// It sends outputs.
    Finishing,
}

/// The event does not fit the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongState;

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Assigned,
        Self::Preparing,
        Self::Running,
        Self::Finishing,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As it is stored.
    pub fn stored(self) -> i64 {
        self as i64
    }

    /// The state that is stored so.
    pub fn from_stored(number: i64) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.stored() == number)
            .ok_or_else(|| Error::internal("reading a job", format!("unknown state {number}")))
    }

    /// Whether a worker holds the job.
    pub fn is_held(self) -> bool {
        matches!(
            self,
            Self::Assigned | Self::Preparing | Self::Running | Self::Finishing
        )
    }

    /// Whether nothing more will happen to the job.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The state after an event.
    pub fn next(self, event: Event) -> Result<Self, WrongState> {
        match event {
            Event::Acquired if self == Self::Queued => Ok(Self::Assigned),
            // A report may be skipped, but an attempt never goes back.
            Event::Reported(progress) if self.is_held() && progress.state() >= self => {
                Ok(progress.state())
            }
            Event::Succeeded if self.is_held() => Ok(Self::Succeeded),
            Event::Failed if self.is_held() => Ok(Self::Failed),
            Event::Returned if self.is_held() => Ok(Self::Queued),
            Event::Cancelled if self.is_held() => Ok(Self::Cancelled),
            // Who holds the job is told at its next report; until then the state stays.
            Event::CancelAsked if self.is_held() => Ok(self),
            Event::CancelAsked if matches!(self, Self::Queued | Self::Cancelled) => {
                Ok(Self::Cancelled)
            }
            _ => Err(WrongState),
        }
    }
}

impl Progress {
    fn state(self) -> State {
        match self {
            Self::Preparing => State::Preparing,
            Self::Running => State::Running,
            Self::Finishing => State::Finishing,
        }
    }

    /// What a report says; none only renews the lease.
    pub fn parse(wire: i32) -> Result<Option<Self>> {
        match JobState::try_from(wire) {
            Ok(JobState::Unspecified) => Ok(None),
            Ok(JobState::Preparing) => Ok(Some(Self::Preparing)),
            Ok(JobState::Running) => Ok(Some(Self::Running)),
            Ok(JobState::Finishing) => Ok(Some(Self::Finishing)),
            _ => Err(Error::invalid(
                "state",
                "expected PREPARING, RUNNING, FINISHING, or nothing",
            )),
        }
    }
}

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Assigned => Self::Assigned,
            State::Preparing => Self::Preparing,
            State::Running => Self::Running,
            State::Finishing => Self::Finishing,
            State::Succeeded => Self::Succeeded,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Assigned, Cancelled, Failed, Finishing, Preparing, Queued, Running, Succeeded};

    /// Every pair of state and event: what comes of it, in the order of [`State::ALL`]; none is refused.
    #[test]
    #[rustfmt::skip]
    fn every_pair_of_state_and_event() {
        let held = |to| [None, Some(to), Some(to), Some(to), Some(to), None, None, None];
        let table: [(Event, [Option<State>; 8]); 9] = [
            (Event::Acquired, [Some(Assigned), None, None, None, None, None, None, None]),
            (Event::Reported(Progress::Preparing), [None, Some(Preparing), Some(Preparing), None, None, None, None, None]),
            (Event::Reported(Progress::Running), [None, Some(Running), Some(Running), Some(Running), None, None, None, None]),
            (Event::Reported(Progress::Finishing), held(Finishing)),
            (Event::Succeeded, held(Succeeded)),
            (Event::Failed, held(Failed)),
            (Event::Returned, held(Queued)),
            (Event::Cancelled, held(Cancelled)),
            (Event::CancelAsked, [Some(Cancelled), Some(Assigned), Some(Preparing), Some(Running), Some(Finishing), None, None, Some(Cancelled)]),
        ];
        for (event, row) in table {
            for (state, expected) in State::ALL.into_iter().zip(row) {
                assert_eq!(state.next(event).ok(), expected, "{state:?} and {event:?}");
            }
        }
    }

    #[test]
    fn states_are_stored_and_sent_by_the_same_number() {
        for state in State::ALL {
            assert_eq!(State::from_stored(state.stored()).unwrap(), state);
            assert_eq!(i64::from(JobState::from(state) as i32), state.stored());
        }
        assert!(State::from_stored(9).is_err());
    }
}
