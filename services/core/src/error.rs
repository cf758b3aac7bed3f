//! The one error type of the domain: a variant for each way in which a call can fail.
//!
//! Texts are lower case without a full stop, and say what, where and what to do. Causes are for the log: they never reach a caller.

use std::{fmt, sync::Arc, time::Duration};

/// What domain code returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One field that is wrong, with its path as the caller wrote it, such as `steps[2].with.max_edge`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field.
    pub field: String,
    /// What is wrong and what was expected.
    pub description: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            return f.write_str(&self.description);
        }
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// The longest that a caller waits by itself for a limit to pass.
const SOON: Duration = Duration::from_secs(120);

/// The cause of an error, kept for the log.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong, whatever the state of the system.
    #[error("{}", join(.0))]
    Invalid(Vec<Violation>),
    /// The resource does not exist, or not for this caller.
    #[error("{resource} not found")]
    NotFound {
        /// The name of the resource.
        resource: String,
    },
    /// The resource exists with other content.
    #[error("{resource} already exists{}", because(.reason))]
    AlreadyExists {
        /// The name of the resource.
        resource: String,
        /// What differs, or empty.
        reason: String,
    },
    /// The resource is not in a state that allows the call.
    #[error("{resource}: {reason}")]
    Precondition {
        /// The name of the resource.
        resource: String,
        /// What stands in the way and what to do.
        reason: String,
    },
    /// Somebody else changed the resource in between.
    #[error("{resource} was changed by somebody else{}: read it again and repeat", because(.reason))]
    Aborted {
        /// The name of the resource.
        resource: String,
        /// What differs, or empty.
        reason: String,
    },
    /// There is no valid token.
    #[error("{reason}")]
    Unauthenticated {
        /// What the caller may know.
        reason: String,
    },
    /// The caller may not do this.
    #[error("{reason}")]
    Denied {
        /// What is missing.
        reason: String,
    },
    /// A limit is reached.
    #[error("{reason}")]
    Exhausted {
        /// Which limit, and what to do.
        reason: String,
        /// When it is worth trying again, if it is.
        retry_after: Option<Duration>,
        /// The project whose quota it is, such as `projects/p`; none if it is another limit.
        quota_of: Option<String>,
    },
    /// Something that is needed does not answer now.
    #[error("{reason}")]
    Unavailable {
        /// What does not answer.
        reason: String,
        /// Why, for the log.
        cause: Option<Cause>,
    },
    /// Stored or sent bytes are not what they should be.
    #[error("{resource}: {reason}")]
    DataLoss {
        /// The name of the resource.
        resource: String,
        /// What differs and what to do.
        reason: String,
    },
    /// The call took longer than it may.
    #[error("{reason}")]
    DeadlineExceeded {
        /// What took so long.
        reason: String,
    },
    /// The caller went away, or the server stops.
    #[error("{reason}")]
    Cancelled {
        /// Who ended it.
        reason: String,
    },
    /// A defect, or a fault that the caller can do nothing about.
    #[error("internal error while {context}")]
    Internal {
        /// What was being done, in words for the caller.
        context: String,
        /// Why, for the log.
        cause: Option<Cause>,
    },
}

impl Error {
    /// A field that is wrong.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation {
            field: field.into(),
            description: description.into(),
        }])
    }

    /// A resource that does not exist, or not for this caller.
    pub fn not_found(resource: impl fmt::Display) -> Self {
        Self::NotFound {
            resource: resource.to_string(),
        }
    }

    /// A resource that exists with other content.
    pub fn already_exists(resource: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self::AlreadyExists {
            resource: resource.to_string(),
            reason: reason.into(),
        }
    }

    /// A resource in the wrong state.
    pub fn precondition(resource: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self::Precondition {
            resource: resource.to_string(),
            reason: reason.into(),
        }
    }

    /// Something that does not answer now.
    pub fn unavailable(
        reason: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            reason: reason.into(),
            cause: Some(Arc::from(cause.into())),
        }
    }

    /// A fault that the caller can do nothing about.
    pub fn internal(
        context: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal {
            context: context.into(),
            cause: Some(Arc::from(cause.into())),
        }
    }

    /// Puts a prefix before the paths of wrong fields: `max_edge` within `steps[2].with` is `steps[2].with.max_edge`.
    #[must_use]
    pub fn within(self, prefix: &str) -> Self {
        match self {
            Self::Invalid(violations) => Self::Invalid(
                violations
                    .into_iter()
                    .map(|v| Violation {
                        field: join_path(prefix, &v.field),
                        ..v
                    })
                    .collect(),
            ),
            other => other,
        }
    }

    /// The cause, for the log.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Unavailable { cause, .. } | Self::Internal { cause, .. } => cause.as_ref(),
            _ => None,
        }
    }

    /// Whether the same call may succeed soon without anybody changing anything. What is refused until tomorrow is not worth waiting for.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::DeadlineExceeded { .. } => true,
            Self::Exhausted {
                retry_after: Some(after),
                ..
            } => *after <= SOON,
            _ => false,
        }
    }

    /// Whether the fault lies with the system or the moment and not with what was asked for. It says nothing about the request, which is to
    /// be repeated when a service answers again, a token is renewed, a race is over or a defect is mended.
    pub fn is_system_fault(&self) -> bool {
        match self {
            Self::Aborted { .. }
            | Self::Unauthenticated { .. }
            | Self::Exhausted { .. }
            | Self::Unavailable { .. }
            | Self::DeadlineExceeded { .. }
            | Self::Cancelled { .. }
            | Self::Internal { .. } => true,
            Self::Invalid(_)
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::Precondition { .. }
            | Self::Denied { .. }
            | Self::DataLoss { .. } => false,
        }
    }
}

/// Collects the violations of many fields, so that a caller learns all of them at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes a wrong field.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation {
            field: field.into(),
            description: description.into(),
        });
    }

    /// Keeps the value, or notes the violations of an error; other errors are passed on.
    pub fn check<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Invalid(violations)) => {
                self.0.extend(violations);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Fails if anything was noted.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.0))
        }
    }
}

fn join_path(prefix: &str, field: &str) -> String {
    if field.is_empty() {
        prefix.to_owned()
    } else if prefix.is_empty() || field.starts_with('[') {
        format!("{prefix}{field}")
    } else {
        format!("{prefix}.{field}")
    }
}

fn join(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_wrong_fields_compose() {
        let error = Error::invalid("max_edge", "expected a positive integer, got \"big\"")
            .within("with")
            .within("steps[2]");
        assert_eq!(
            error.to_string(),
            "steps[2].with.max_edge: expected a positive integer, got \"big\""
        );
    }

    #[test]
    fn all_violations_are_reported_at_once() {
        let mut violations = Violations::default();
        violations.add("a", "is missing");
        violations
            .check(Result::<()>::Err(Error::invalid("b", "is too long")))
            .unwrap();
        assert_eq!(
            violations.finish().unwrap_err().to_string(),
            "a: is missing; b: is too long"
        );
    }

    #[test]
    fn what_passes_tomorrow_is_not_waited_for() {
        let exhausted = |seconds| Error::Exhausted {
            reason: "full".into(),
            retry_after: Some(Duration::from_secs(seconds)),
            quota_of: None,
        };
        assert!(exhausted(1).is_transient() && !exhausted(3600).is_transient());
    }

    #[test]
    fn causes_do_not_reach_the_text() {
        let error = Error::internal("reading the catalogue", "password=hunter2");
        assert_eq!(
            error.to_string(),
            "internal error while reading the catalogue"
        );
    }
}
