//! What Envoy itself refuses, as problem details (RFC 9457), or as a status for those who speak gRPC.

use serde_json::{Value, json};

use super::shapes::typed;

const PROBLEM: &str = "application/problem+json";
/// Envoy says 403 for a token of another audience, which is as little a valid token as any.
const WRONG_TOKEN: &str = "response.code == 403 && response.code_details.startsWith('jwt_authn')";
/// The script's own answers are problems already.
const BY_SCRIPT: &str = "response.code_details == 'lua_response'";

/// Status, its title, and the code that a service would have given.
const STATUSES: [(u16, &str, &str); 11] = [
    (400, "Bad Request", "INVALID_ARGUMENT"),
    (401, "Unauthorized", "UNAUTHENTICATED"),
    (403, "Forbidden", "PERMISSION_DENIED"),
    (404, "Not Found", "NOT_FOUND"),
    (408, "Request Timeout", "DEADLINE_EXCEEDED"),
    (413, "Content Too Large", "OUT_OF_RANGE"),
    (415, "Unsupported Media Type", "INVALID_ARGUMENT"),
    (429, "Too Many Requests", "RESOURCE_EXHAUSTED"),
    (431, "Request Header Fields Too Large", "OUT_OF_RANGE"),
    (503, "Service Unavailable", "UNAVAILABLE"),
    (504, "Gateway Timeout", "DEADLINE_EXCEEDED"),
];

/// Which of Envoy's own answers become what; the first that fits.
pub(super) fn replies() -> Value {
    let plain = json!({"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}});
    let mut mappers = vec![
        json!({"filter": both(is_grpc(), told(WRONG_TOKEN)), "status_code": 401, "body_format_override": plain}),
        json!({"filter": is_grpc(), "body_format_override": plain}),
        json!({"filter": told(BY_SCRIPT), "body_format_override": {"content_type": PROBLEM, "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}}),
        json!({"filter": told(WRONG_TOKEN), "status_code": 401, "body_format_override": problem("Unauthorized", "UNAUTHENTICATED")}),
    ];
    mappers.extend(STATUSES.map(|(status, title, code)| json!({"filter": status_is("EQ", status), "body_format_override": problem(title, code)})));
    mappers.push(json!({"filter": status_is("GE", 400), "body_format_override": problem("Error", "UNKNOWN")}));
    json!({"mappers": mappers})
}

fn problem(title: &str, code: &str) -> Value {
    json!({"content_type": PROBLEM, "json_format": {
        "type": "about:blank",
        "title": title,
        "status": "%RESPONSE_CODE%",
        "code": code,
        "detail": "%LOCAL_REPLY_BODY%",
    }})
}

// What was REST is gRPC too once it has been transcoded.
fn is_grpc() -> Value {
    both(
        json!({"header_filter": {"header": {"name": "content-type", "string_match": {"safe_regex": {"regex": "application/grpc([+;].*)?"}}}}}),
        json!({"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": true, "invert_match": true}}}),
    )
}

fn both(one: Value, two: Value) -> Value {
    json!({"and_filter": {"filters": [one, two]}})
}

fn told(expression: &str) -> Value {
    json!({"extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": typed("extensions.access_loggers.filters.cel.v3.ExpressionFilter", json!({"expression": expression})),
    }})
}

fn status_is(comparison: &str, status: u16) -> Value {
    json!({"status_code_filter": {"comparison": {
        "op": comparison,
        "value": {"default_value": status, "runtime_key": format!("granary.status.{status}")},
    }}})
}
