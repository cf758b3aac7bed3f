//! How a command ends when it does not succeed: a message for people, and an exit code for scripts.

use std::fmt::Write as _;

use granary_core::{Error, Violation, filter};

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    place: Option<String>,
    error: Option<Error>,
    advice: Option<String>,
}

impl Failure {
    /// The command line is wrong: exit code 2.
    pub(crate) fn usage(error: Error) -> Self {
        Self {
            code: 2,
            place: None,
            error: Some(error),
            advice: None,
        }
    }

    /// A wrong flag: exit code 2.
    pub(crate) fn flag(flag: &str, description: impl Into<String>) -> Self {
        Self::usage(Error::invalid(flag, description))
    }

    /// Something is wrong in a file or with a folder.
    pub(crate) fn at(place: impl std::fmt::Display, error: Error) -> Self {
        Self {
            code: 1,
            place: Some(crate::human::shown(&place.to_string())),
            error: Some(error),
            advice: None,
        }
    }

    /// The message has been printed already: only the exit code is left to say.
    pub(crate) fn reported() -> Self {
        Self {
            code: 1,
            place: None,
            error: None,
            advice: None,
        }
    }

    /// A program that was run here failed, and has said so itself: its exit code is this command's.
    pub(crate) fn of_program(code: u8) -> Self {
        Self {
            code,
            ..Self::reported()
        }
    }

    /// Nobody reads the output any more, as with `| head`: no reason to complain.
    pub(crate) fn closed() -> Self {
        Self {
            code: 0,
            place: None,
            error: None,
            advice: None,
        }
    }

    /// The same with a line below it, on what to do.
    pub(crate) fn advised(self, advice: String) -> Self {
        Self {
            advice: Some(advice),
            ..self
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Whether the same may succeed later without anybody changing anything.
    pub(crate) fn is_transient(&self) -> bool {
        self.error.as_ref().is_some_and(Error::is_transient)
    }

    /// Whether the reason lies in what is sent, so that the same fails again until somebody changes it.
    pub(crate) fn lies_in_what_is_sent(&self) -> bool {
        matches!(
            self.error,
            Some(Error::Invalid(_) | Error::AlreadyExists { .. } | Error::Precondition { .. })
        )
    }

    /// Whether a limit is reached that lasts, such as a quota.
    pub(crate) fn is_of_limit(&self) -> bool {
        matches!(self.error, Some(Error::Exhausted { .. })) && !self.is_transient()
    }

    /// Whether every other call would fail the same way.
    pub(crate) fn is_hopeless(&self) -> bool {
        matches!(
            self.error,
            Some(Error::Unauthenticated { .. } | Error::Denied { .. })
        ) || self.code == 0
    }

    /// The message, without a line break at its end; nothing if there is none to print.
    pub(crate) fn message(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let mut text = String::from("granary: ");
        // An error that names the file says the folder as well.
        if let Some(place) = self
            .place
            .as_ref()
            .filter(|place| !error.to_string().starts_with(place.as_str()))
        {
            let _ = write!(text, "{place}: ");
        }
        match error {
            Error::Invalid(violations) if violations.len() > 1 => {
                let _ = write!(text, "{} things are wrong", violations.len());
                for violation in violations {
                    let _ = write!(text, "\n  {}", violation.to_string().replace('\n', "\n  "));
                }
            }
            other => text.push_str(&other.to_string()),
        }
        for more in [hint(error), self.advice.as_deref()].into_iter().flatten() {
            let _ = write!(text, "\n  {more}");
        }
        Some(text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            code: 1,
            place: None,
            error: Some(error),
            advice: None,
        }
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Internal { .. } => Some("this is a defect of the server: its log says more"),
        _ => None,
    }
}

/// Shows where in `source` a filter is wrong, with a caret below the column that the server named.
pub(crate) fn with_caret(source: &str, error: Error) -> Error {
    let Error::Invalid(violations) = error else {
        return error;
    };
    Error::Invalid(
        violations
            .into_iter()
            .map(|violation| caret(source, violation))
            .collect(),
    )
}

fn caret(source: &str, violation: Violation) -> Violation {
    if !violation.field.ends_with("filter") {
        return violation;
    }
    match column(&violation.description) {
        Some((column, message)) => {
            let error = filter::FilterError {
                column,
                message: message.to_owned(),
            };
            Violation {
                description: filter::render_error(source, &error),
                ..violation
            }
        }
        None => violation,
    }
}

fn column(description: &str) -> Option<(usize, &str)> {
    let (number, message) = description.strip_prefix("column ")?.split_once(": ")?;
    Some((number.parse().ok()?, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn one_wrong_field_is_one_line_and_several_are_a_list() {
        let one = Failure::at(
            "p.yaml",
            Error::invalid("steps[2].needs", "expected a list"),
        );
        assert_eq!(
            one.message().unwrap(),
            "granary: p.yaml: steps[2].needs: expected a list"
        );
        let two = Error::Invalid(vec![
            Violation {
                field: "a".into(),
                description: "is missing".into(),
            },
            Violation {
                field: "b".into(),
                description: "is odd".into(),
            },
        ]);
        assert_eq!(
            Failure::from(two).message().unwrap(),
            "granary: 2 things are wrong\n  a: is missing\n  b: is odd"
        );
    }

    #[test]
    fn a_caret_points_at_the_column_of_a_filter() {
        let error = with_caret(
            "size >",
            Error::invalid("filter", "column 7: expected a value after \">\""),
        );
        let message = Failure::from(error).message().unwrap();
        assert_eq!(
            message,
            "granary: filter: column 7: expected a value after \">\"\n  size >\n        ^"
        );
    }

    #[test]
    fn what_is_wrong_with_a_folder_is_told_from_what_is_wrong_with_the_server() {
        let lies_in_it = |error: Error| Failure::from(error).lies_in_what_is_sent();
        assert!(lies_in_it(Error::invalid("", "waits")));
        assert!(lies_in_it(Error::already_exists(
            "d/s",
            "with other content"
        )));
        assert!(lies_in_it(Error::precondition("d/s", "it is complete")));
        for code in [
            Code::Internal,
            Code::Aborted,
            Code::Cancelled,
            Code::ResourceExhausted,
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::NotFound,
            Code::DataLoss,
            Code::Unknown,
        ] {
            let error = granary_proto::status::from_status(tonic::Status::new(code, "for now"));
            assert!(!lies_in_it(error), "{code:?}");
        }
    }

    #[test]
    fn advice_stands_below_what_failed() {
        let full = |retry_after| {
            Failure::from(Error::Exhausted {
                reason: "the project is full".into(),
                retry_after,
                quota_of: None,
            })
        };
        let seconds = |seconds| Some(std::time::Duration::from_secs(seconds));
        assert!(full(None).is_of_limit() && full(seconds(3600)).is_of_limit());
        assert!(!full(seconds(1)).is_of_limit());
        let said = full(None)
            .advised("the session stays open".into())
            .message();
        assert_eq!(
            said.unwrap(),
            "granary: the project is full\n  the session stays open"
        );
    }

    #[test]
    fn exit_codes_tell_wrong_usage_from_failure() {
        assert_eq!(Failure::flag("--input", "expected MAPPING=REF").code(), 2);
        assert_eq!(Failure::from(Error::not_found("projects/p")).code(), 1);
        assert_eq!(Failure::closed().code(), 0);
        assert!(Failure::reported().message().is_none());
    }
}
