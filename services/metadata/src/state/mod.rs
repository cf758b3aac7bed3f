//! The lives of sessions and assets, as pure functions: what happens next follows from the state and the event alone, and nothing else
//! chooses a state.

pub(crate) mod asset;
pub(crate) mod session;

use granary_core::{Error, Result, name::quote};

/// The event does not fit the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongState {
    /// The state, as it is shown.
    pub state: &'static str,
    /// What stands in the way, after "it is STATE: ".
    pub reason: &'static str,
}

impl WrongState {
    /// The error for a resource.
    pub(crate) fn of(self, resource: impl std::fmt::Display) -> Error {
        Error::precondition(resource, format!("it is {}: {}", self.state, self.reason))
    }
}

// A stored state that nobody knows: the database was changed from outside.
fn unknown<T>(noun: &str, text: &str) -> Result<T> {
    Err(Error::Internal {
        context: format!("reading the state {} of a {noun}", quote(text)),
        cause: None,
    })
}
