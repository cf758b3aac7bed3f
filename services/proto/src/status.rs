//! The one table from errors to gRPC statuses with `google.rpc` details, and back.

use std::{collections::HashMap, time::Duration};

use granary_core::{Error, Result, Violation};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, ResourceInfo, StatusExt};

/// Who says the reasons of errors.
const DOMAIN: &str = "granary";
/// Where the reason of an error stands in the metadata of its ErrorInfo, as it was given.
const REASON: &str = "reason";

/// Turns an error into what the caller sees. Causes go to the log and stay there.
pub fn to_status(error: Error) -> Status {
    if let Some(cause) = error.cause() {
        tracing::warn!(%error, %cause, "call failed");
    }
    let message = error.to_string();
    let (code, details) = described(error);
    Status::with_error_details(code, message, details)
}

fn described(error: Error) -> (Code, ErrorDetails) {
    let mut details = ErrorDetails::new();
    let code = match error {
        Error::Invalid(violations) => {
            let violation = |v: Violation| FieldViolation::new(v.field, v.description);
            details.set_bad_request(violations.into_iter().map(violation).collect::<Vec<_>>());
            Code::InvalidArgument
        }
        Error::NotFound { resource } => {
            details.set_resource_info("", resource, "", "");
            Code::NotFound
        }
        Error::AlreadyExists { resource, reason } => {
            about(&mut details, "ALREADY_EXISTS", resource, reason);
            Code::AlreadyExists
        }
        Error::Precondition { resource, reason } => {
            about(&mut details, "FAILED_PRECONDITION", resource, reason);
            Code::FailedPrecondition
        }
        Error::Aborted { resource, reason } => {
            about(&mut details, "ABORTED", resource, reason);
            Code::Aborted
        }
        Error::DataLoss { resource, reason } => {
            about(&mut details, "DATA_LOSS", resource, reason);
            Code::DataLoss
        }
        Error::Unauthenticated { .. } => Code::Unauthenticated,
        Error::Denied { .. } => Code::PermissionDenied,
        Error::Exhausted {
            retry_after,
            quota_of,
            reason,
        } => {
            if retry_after.is_some() {
                details.set_retry_info(retry_after);
            }
            if let Some(project) = quota_of {
                details.add_quota_failure_violation(project, reason);
            }
            Code::ResourceExhausted
        }
        Error::Unavailable { .. } => {
            details.set_retry_info(Some(Duration::from_secs(1)));
            Code::Unavailable
        }
        Error::DeadlineExceeded { .. } => Code::DeadlineExceeded,
        Error::Cancelled { .. } => Code::Cancelled,
        Error::Internal { .. } => Code::Internal,
    };
    (code, details)
}

/// Names the resource, and keeps the reason apart from the sentence that is made of both.
fn about(details: &mut ErrorDetails, code: &str, resource: String, reason: String) {
    details.set_resource_info("", resource, "", "");
    let reason = HashMap::from([(REASON.to_owned(), reason)]);
    details.set_error_info(code, DOMAIN, reason);
}

/// Turns a status that another service answered back into the error that it was.
pub fn from_status(status: Status) -> Error {
    let details = status.get_error_details();
    let message = status.message().to_owned();
    let resource = details
        .resource_info()
        .map(|r: &ResourceInfo| r.resource_name.clone())
        .unwrap_or_default();
    // A status that is not made here has no more to say than its message.
    let reason = details
        .error_info()
        .and_then(|info| info.metadata.get(REASON).cloned())
        .unwrap_or_else(|| message.clone());
    match status.code() {
        Code::InvalidArgument => Error::Invalid(violations(&details, message)),
        Code::NotFound => Error::NotFound { resource },
        Code::AlreadyExists => Error::AlreadyExists { resource, reason },
        Code::FailedPrecondition => Error::Precondition { resource, reason },
        Code::Aborted => Error::Aborted { resource, reason },
        Code::DataLoss => Error::DataLoss { resource, reason },
        Code::Unauthenticated => Error::Unauthenticated { reason: message },
        Code::PermissionDenied => Error::Denied { reason: message },
        Code::ResourceExhausted => Error::Exhausted {
            reason: message,
            retry_after: details
                .retry_info()
                .and_then(|r| r.retry_delay)
                .or_else(|| retry_after(&status)),
            quota_of: details
                .quota_failure()
                .and_then(|failure| failure.violations.first())
                .map(|violation| violation.subject.clone()),
        },
        Code::Unavailable => Error::Unavailable {
            reason: message,
            cause: None,
        },
        Code::DeadlineExceeded => Error::DeadlineExceeded { reason: message },
        Code::Cancelled => Error::Cancelled { reason: message },
        _ => Error::Internal {
            context: format!("calling another service: {message}"),
            cause: None,
        },
    }
}

/// What proxies say, which know no details: the seconds of an HTTP header.
fn retry_after(status: &Status) -> Option<Duration> {
    let seconds = status.metadata().get("retry-after")?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn violations(details: &ErrorDetails, message: String) -> Vec<Violation> {
    let named = details
        .bad_request()
        .map_or(&[][..], |bad| &bad.field_violations);
    if named.is_empty() {
        return vec![Violation {
            field: String::new(),
            description: message,
        }];
    }
    named
        .iter()
        .map(|v| Violation {
            field: v.field.clone(),
            description: v.description.clone(),
        })
        .collect()
}

/// The error of one item in a batch, for the field `error` of its result.
pub fn to_item(error: Error) -> tonic_types::Status {
    let status = to_status(error);
    match status.details() {
        [] => tonic_types::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: vec![],
        },
        details => prost::Message::decode(details).unwrap_or_else(|_| tonic_types::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: vec![],
        }),
    }
}

/// The error that an item's `error` field holds.
pub fn from_item(item: tonic_types::Status) -> Error {
    let code = Code::from(item.code);
    let message = item.message.clone();
    let details = prost::Message::encode_to_vec(&item);
    from_status(Status::with_details(code, message, details.into()))
}

/// Unwraps the answer of another service.
pub fn answer<T>(result: std::result::Result<tonic::Response<T>, Status>) -> Result<T> {
    result.map(tonic::Response::into_inner).map_err(from_status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_wire() {
        for error in [
            Error::Invalid(vec![
                Violation {
                    field: "steps[2].with".into(),
                    description: "is odd".into(),
                },
                Violation {
                    field: "name".into(),
                    description: "is missing".into(),
                },
            ]),
            Error::not_found("projects/p"),
            Error::already_exists("projects/p", "with another name"),
            Error::already_exists("projects/p", ""),
            Error::already_exists("projects/p", "it (projects/q) already exists (twice): odd"),
            Error::precondition("projects/p", "it is open: complete it first"),
            Error::Aborted {
                resource: "projects/p".into(),
                reason: "etag 3, not 2".into(),
            },
            Error::DataLoss {
                resource: "projects/p".into(),
                reason: "bytes differ".into(),
            },
            Error::Denied {
                reason: "administrators only".into(),
            },
            Error::Exhausted {
                reason: "queue full".into(),
                retry_after: Some(Duration::from_secs(2)),
                quota_of: None,
            },
        ] {
            assert_eq!(
                from_status(to_status(error.clone())).to_string(),
                error.to_string()
            );
            assert_eq!(
                from_item(to_item(error.clone())).to_string(),
                error.to_string()
            );
        }
    }

    #[test]
    fn a_wrong_field_is_named_in_the_details() {
        let status = to_status(Error::invalid("page_size", "expected 0 to 1000, got -1"));
        let details = status.get_error_details();
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "page_size"
        );
    }

    #[test]
    fn a_quota_is_told_with_its_project_and_survives_the_services_in_between() {
        let full = Error::Exhausted {
            reason: "projects/p: 9 of 9 assets".into(),
            retry_after: Some(Duration::from_secs(3600)),
            quota_of: Some("projects/p".into()),
        };
        let status = to_status(from_item(to_item(from_status(to_status(full)))));
        let details = status.get_error_details();
        let violations = &details.quota_failure().unwrap().violations;
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].subject, "projects/p");
        assert_eq!(violations[0].description, status.message());
        let retry = details.retry_info().unwrap().retry_delay;
        assert_eq!(retry, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn a_proxy_says_in_a_header_when_to_try_again() {
        let after = |said: &'static str| {
            let mut status = Status::resource_exhausted("local_rate_limited");
            status
                .metadata_mut()
                .insert("retry-after", said.parse().unwrap());
            from_status(status)
        };
        assert!(matches!(
            after("1"),
            Error::Exhausted { retry_after: Some(after), .. } if after == Duration::from_secs(1)
        ));
        assert!(after("1").is_transient() && !after("86400").is_transient());
        for other in ["", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert!(!after(other).is_transient(), "{other}");
        }
        assert!(!from_status(Status::resource_exhausted("full")).is_transient());
    }

    #[test]
    fn causes_stay_here() {
        let status = to_status(Error::internal("reading rows", "SELECT secret FROM t"));
        assert!(!format!("{status:?}").contains("SELECT"));
    }
}
