//! The one table from errors to gRPC statuses with `google.rpc` details, and back.

use std::time::Duration;

use granary_core::{Error, Result, Violation};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, ResourceInfo, StatusExt};

/// Turns an error into what the caller sees. Causes go to the log and stay there.
pub fn to_status(error: Error) -> Status {
    if let Some(cause) = error.cause() {
        tracing::warn!(%error, %cause, "call failed");
    }
    let message = error.to_string();
    let mut details = ErrorDetails::new();
    let code = match error {
        Error::Invalid(violations) => {
            details.set_bad_request(
                violations
                    .into_iter()
                    .map(|v| FieldViolation::new(v.field, v.description))
                    .collect::<Vec<_>>(),
            );
            Code::InvalidArgument
        }
        Error::NotFound { resource } => with_resource(&mut details, resource, Code::NotFound),
        Error::AlreadyExists { resource, .. } => {
            with_resource(&mut details, resource, Code::AlreadyExists)
        }
        Error::Precondition { resource, .. } => {
            with_resource(&mut details, resource, Code::FailedPrecondition)
        }
        Error::Aborted { resource, .. } => with_resource(&mut details, resource, Code::Aborted),
        Error::DataLoss { resource, .. } => with_resource(&mut details, resource, Code::DataLoss),
        Error::Unauthenticated { .. } => Code::Unauthenticated,
        Error::Denied { .. } => Code::PermissionDenied,
        Error::Exhausted { retry_after, .. } => {
            if retry_after.is_some() {
                details.set_retry_info(retry_after);
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
    Status::with_error_details(code, message, details)
}

/// Turns a status that another service answered back into the error that it was.
pub fn from_status(status: Status) -> Error {
    let details = status.get_error_details();
    let message = status.message().to_owned();
    let resource = details
        .resource_info()
        .map(|r: &ResourceInfo| r.resource_name.clone())
        .unwrap_or_default();
    let reason = message
        .strip_prefix(&format!("{resource}: "))
        .unwrap_or(&message)
        .to_owned();
    match status.code() {
        Code::InvalidArgument => Error::Invalid(match details.bad_request() {
            Some(bad) if !bad.field_violations.is_empty() => bad
                .field_violations
                .iter()
                .map(|v| Violation {
                    field: v.field.clone(),
                    description: v.description.clone(),
                })
                .collect(),
            _ => vec![Violation {
                field: String::new(),
                description: message,
            }],
        }),
        Code::NotFound => Error::NotFound { resource },
        Code::AlreadyExists => Error::AlreadyExists {
            reason: between(&message, " already exists (", ")").to_owned(),
            resource,
        },
        Code::FailedPrecondition => Error::Precondition { resource, reason },
        Code::Aborted => Error::Aborted {
            reason: between(&message, " was changed by somebody else (", "):").to_owned(),
            resource,
        },
        Code::DataLoss => Error::DataLoss { resource, reason },
        Code::Unauthenticated => Error::Unauthenticated { reason: message },
        Code::PermissionDenied => Error::Denied { reason: message },
        Code::ResourceExhausted => Error::Exhausted {
            reason: message,
            retry_after: details.retry_info().and_then(|r| r.retry_delay),
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

fn with_resource(details: &mut ErrorDetails, resource: String, code: Code) -> Code {
    details.set_resource_info("", resource, "", "");
    code
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let Some((_, rest)) = text.split_once(start) else {
        return "";
    };
    rest.rsplit_once(end).map_or(rest, |(inner, _)| inner)
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
    fn causes_stay_here() {
        let status = to_status(Error::internal("reading rows", "SELECT secret FROM t"));
        assert!(!format!("{status:?}").contains("SELECT"));
    }
}
