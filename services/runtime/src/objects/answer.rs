//! What an object store says when it refuses, read alike by all who ask it.

use std::{fmt, time::Duration};

use granary_core::Error;
use http::StatusCode;

/// What is looked at of an answer that says what is wrong.
pub const MAX_BYTES: usize = 4096;

/// The code of `<Error><Code>…`, if the body is that.
pub fn error_code(body: &[u8]) -> Option<String> {
    let start = body.get(..body.len().min(256))?;
    if !start.windows(6).any(|window| window == b"<Error") {
        return None;
    }
    let text = String::from_utf8_lossy(body.get(..body.len().min(MAX_BYTES))?);
    Some(element(&text, "Code")).filter(|code| !code.is_empty())
}

/// The text of a flat element, without what could upset a terminal; empty if there is none.
pub fn element(xml: &str, name: &str) -> String {
    let inner = xml
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    inner
        .map(|(text, _)| text.chars().filter(|c| !c.is_control()).take(200).collect())
        .unwrap_or_default()
}

/// Whether the same request may succeed later.
pub fn is_passing(status: StatusCode, code: &str) -> bool {
    match status {
        StatusCode::NOT_IMPLEMENTED | StatusCode::INSUFFICIENT_STORAGE => false,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => true,
        StatusCode::CONFLICT => matches!(code, "ConditionalRequestConflict" | "OperationAborted"),
        status => {
            status.is_server_error()
                || (status.is_success()
                    && matches!(code, "InternalError" | "SlowDown" | "ServiceUnavailable"))
        }
    }
}

/// The error of an answer that nobody expects; `what` completes "the object store could not …".
pub fn refused(what: &str, status: StatusCode, code: &str) -> Error {
    if status == StatusCode::INSUFFICIENT_STORAGE || code == "XMinioStorageFull" {
        return Error::Exhausted {
            reason: "the object store is full: make room, then try again".into(),
            retry_after: Some(Duration::from_secs(30)),
            quota_of: None,
        };
    }
    let seen = Seen {
        status,
        code: code.to_owned(),
    };
    if is_passing(status, code) {
        let reason = format!("the object store could not {what} ({seen}): try again");
        return Error::unavailable(reason, seen);
    }
    Error::internal(format!("having the object store {what}"), seen)
}

/// What a store answered, as the cause of an error.
#[derive(Clone, Debug)]
struct Seen {
    status: StatusCode,
    code: String,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{} {}", self.status.as_u16(), self.code);
        f.write_str(text.trim())
    }
}

impl std::error::Error for Seen {}

/// The same error as whoever runs the platform is to see it, who can do something about keys that the store refuses. To callers it stays internal.
pub fn for_operator(error: Error) -> Error {
    let seen = error.cause().and_then(|cause| cause.downcast_ref::<Seen>());
    match seen {
        Some(seen) if seen.code == "RequestTimeTooSkewed" => Error::precondition(
            "the object store",
            format!("its clock and that of this machine differ ({seen}): set them right"),
        ),
        Some(seen)
            if matches!(
                seen.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            ) =>
        {
            Error::precondition(
                "the object store",
                format!(
                    "it refuses these keys ({seen}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do"
                ),
            )
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_failures_may_succeed_later() {
        for (status, code, again) in [
            (503, "SlowDown", true),
            (500, "InternalError", true),
            (429, "", true),
            (409, "ConditionalRequestConflict", true),
            (200, "InternalError", true),
            (200, "", false),
            (409, "KeyConflict", false),
            (501, "NotImplemented", false),
            (507, "InsufficientStorage", false),
            (412, "PreconditionFailed", false),
            (403, "AccessDenied", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_passing(status, code), again, "{status} {code}");
            let passes = refused("look", status, code).is_transient();
            let full = status == StatusCode::INSUFFICIENT_STORAGE;
            assert_eq!(passes, again || full, "{status} {code}");
        }
    }

    #[test]
    fn whoever_runs_the_platform_hears_of_keys_that_are_refused() {
        let said = |status, code| {
            let status = StatusCode::from_u16(status).unwrap();
            let error = refused("list objects", status, code);
            let callers = error.to_string();
            assert!(!callers.contains("AWS_"), "{callers}");
            for_operator(error).to_string()
        };
        assert_eq!(
            said(403, "SignatureDoesNotMatch"),
            "the object store: it refuses these keys (403 SignatureDoesNotMatch): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do"
        );
        assert!(said(401, "").contains("(401)"));
        assert!(said(403, "RequestTimeTooSkewed").contains("its clock"));
        for (status, code) in [(400, "InvalidArgument"), (503, "SlowDown")] {
            assert!(!said(status, code).contains("AWS_"), "{status}");
        }
    }

    #[test]
    fn the_text_of_the_store_is_found_and_tamed() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>Slow\u{1b}Down</Code><Message>less</Message></Error>";
        assert_eq!(error_code(xml.as_bytes()).as_deref(), Some("SlowDown"));
        assert_eq!(element(xml, "Message"), "less");
        assert_eq!(element(xml, "Key"), "");
        for other in [
            &b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>"[..],
            b"<Code>x</Code>",
            b"",
        ] {
            assert_eq!(error_code(other), None);
        }
    }
}
