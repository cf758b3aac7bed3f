//! What becomes of a session that could not be worked on: it is tried again, or given up.

use std::time::Duration;

use granary_core::Error;

use crate::store::works::Tries;

/// The pause after the first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A session is given up at so many strikes. With one strike a minute that is after about four hours.
const MOST_STRIKES: i64 = 240;
/// How often a session is tried that fails for a reason of its own.
const OWN_TRIES: i64 = 8;

/// Whether an error says nothing about the session and its assets.
pub(super) fn is_infrastructure(error: &Error) -> bool {
    // The calls are this service's own: what it may not do is a matter of how the system is set up.
    error.is_system_fault() || matches!(error, Error::Denied { .. })
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again after a pause.
    Again(Tries, Duration),
    GiveUp(Tries),
}

/// Decides by the error and the failures before it.
pub(super) fn next(error: &Error, before: Tries) -> Next {
    let tries = Tries {
        attempts: before.attempts.saturating_add(1),
        strikes: before.strikes.saturating_add(strikes(error)),
    };
    if tries.strikes >= MOST_STRIKES {
        return Next::GiveUp(tries);
    }
    Next::Again(tries, pause(tries))
}

/// How long to wait before the next try.
pub(super) fn pause(tries: Tries) -> Duration {
    PAUSE
        .saturating_mul(1 << (tries.attempts - 1).clamp(0, 10))
        .min(LONGEST_PAUSE)
}

fn strikes(error: &Error) -> i64 {
    match error {
        // The session itself is gone.
        Error::NotFound { .. } => MOST_STRIKES,
        // A defect, or a wrong setting, that may never be mended.
        Error::Internal { .. }
        | Error::Denied { .. }
        | Error::Exhausted {
            retry_after: None, ..
        }
        | Error::Exhausted {
            quota_of: Some(_), ..
        } => 1,
        // An outage ends.
        error if is_infrastructure(error) => 0,
        _ => MOST_STRIKES / OWN_TRIES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a session is tried that always fails so, and how long that takes; none if it is tried for longer than a month.
    fn patience(error: &Error) -> Option<(i64, Duration)> {
        let (mut tries, mut waited) = (Tries::default(), Duration::ZERO);
        while waited < Duration::from_secs(30 * 24 * 3600) {
            match next(error, tries) {
                Next::GiveUp(tries) => return Some((tries.attempts, waited)),
                Next::Again(after, pause) => {
                    assert!(pause <= LONGEST_PAUSE);
                    (tries, waited) = (after, waited + pause);
                }
            }
        }
        None
    }

    #[test]
    fn an_outage_is_waited_for_however_long_it_takes() {
        for error in [
            Error::unavailable("away", "refused"),
            Error::DeadlineExceeded {
                reason: "slow".into(),
            },
            Error::Unauthenticated {
                reason: "expired".into(),
            },
            Error::Aborted {
                resource: "s".into(),
                reason: String::new(),
            },
            Error::Exhausted {
                reason: "busy".into(),
                retry_after: Some(Duration::from_secs(1)),
                quota_of: None,
            },
        ] {
            assert!(is_infrastructure(&error));
            assert_eq!(patience(&error), None, "{error}");
        }
    }

    #[test]
    fn a_fault_within_a_service_is_given_hours_to_be_mended() {
        for error in [
            Error::internal("reading", "a defect"),
            Error::Denied {
                reason: "services only".into(),
            },
            Error::Exhausted {
                reason: "full".into(),
                retry_after: None,
                quota_of: None,
            },
            Error::Exhausted {
                reason: "its project is full".into(),
                retry_after: Some(Duration::from_secs(3600)),
                quota_of: Some("projects/p".into()),
            },
        ] {
            assert!(is_infrastructure(&error));
            let (_, waited) = patience(&error).unwrap();
            let hours = waited.as_secs() / 3600;
            assert!((3..=6).contains(&hours), "{error}: {hours} h");
        }
    }

    #[test]
    fn what_is_wrong_with_a_session_is_said_soon() {
        for error in [
            Error::invalid("attributes", "too many"),
            Error::precondition("s", "it is open"),
        ] {
            assert!(!is_infrastructure(&error));
            let (tries, waited) = patience(&error).unwrap();
            assert_eq!(tries, OWN_TRIES);
            assert!(waited < Duration::from_secs(60));
        }
        let gone = Error::not_found("s");
        assert_eq!(patience(&gone), Some((1, Duration::ZERO)));
    }

    #[test]
    fn an_outage_before_it_does_not_make_a_failure_final() {
        let after_an_outage = Tries {
            attempts: 10_000,
            strikes: 0,
        };
        for error in [
            Error::internal("reading", "a defect"),
            Error::precondition("s", "it is open"),
        ] {
            let next = next(&error, after_an_outage);
            assert!(
                matches!(next, Next::Again(_, LONGEST_PAUSE)),
                "{error}: {next:?}"
            );
        }
    }
}
