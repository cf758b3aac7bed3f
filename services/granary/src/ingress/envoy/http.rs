//! How Envoy speaks HTTP with those outside: what it refuses before any filter, and what it writes down.

use serde_json::{Value, json};

use super::{
    filters, problems, routes,
    shapes::{filter, seconds, typed},
};
use crate::ingress::{bindings::Binding, settings::Settings};

/// The connection manager.
pub(super) fn manager(settings: &Settings, bindings: &[Binding]) -> Value {
    let mut manager = json!({
        "stat_prefix": "ingress",
        "server_name": "granary",
        "normalize_path": true,
        "merge_slashes": true,
        // Names hold no slash: whoever hides one wants to be read in two ways.
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "use_remote_address": true,
        "xff_num_trusted_hops": settings.trusted_hops,
        // Nobody's headers count for more because of a private address.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "early_header_mutation_extensions": [stripped(settings)],
        "generate_request_id": true,
        "preserve_external_request_id": true,
        "always_set_request_id_in_response": true,
    });
    let limits = json!({
        "max_request_headers_kb": 16,
        "common_http_protocol_options": {
            "max_headers_count": 100,
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": "900s",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 128,
            "initial_stream_window_size": 1 << 18,
            "initial_connection_window_size": 1 << 20,
            // Who is gone is found out even while a stream has nothing to say.
            "connection_keepalive": {"interval": "30s", "timeout": "20s"},
        },
        "request_headers_timeout": seconds(settings.head_timeout()),
        "request_timeout": seconds(settings.request_timeout),
        // Later than the answer's own limit, which says more. Routes of streams have none.
        "stream_idle_timeout": seconds(settings.request_timeout * 2),
    });
    let rest = json!({
        "local_reply_config": problems::replies(),
        "access_log": [access_log()],
        "route_config": routes::all(settings, bindings),
        "http_filters": filters::all(settings, bindings),
    });
    for part in [limits, rest] {
        if let (Value::Object(all), Value::Object(part)) = (&mut manager, part) {
            all.extend(part);
        }
    }
    typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        manager,
    )
}

// Headers that only Envoy, or only services among each other, may set.
fn stripped(settings: &Settings) -> Value {
    let prefix = |prefix: &str| json!({"remove_on_match": {"key_matcher": {"prefix": prefix}}});
    let mut mutations = vec![
        prefix("x-envoy-"),
        json!({"remove": "forwarded"}),
        json!({"remove": "granary-on-behalf-of"}),
    ];
    // Behind other proxies, they are who says where a call came from.
    match settings.trusted_hops {
        0 => mutations.push(prefix("x-forwarded-")),
        _ => mutations.extend(
            ["host", "port", "client-cert", "prefix", "scheme"]
                .map(|name| json!({"remove": format!("x-forwarded-{name}")})),
        ),
    }
    filter(
        "envoy.http.early_header_mutation.header_mutation",
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        json!({"mutations": mutations}),
    )
}

// One JSON object a line. The query and the headers may hold what is nobody's business, and are left out.
fn access_log() -> Value {
    let claim =
        |name: &str| format!("%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:{name})%");
    let fields = json!({
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID):128%",
        "remote_address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "subject": claim("sub"),
        "issuer": claim("iss"),
        "protocol": "%PROTOCOL%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "rpc": "%PATH(NQ:PATH)%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%RESP(GRPC-STATUS)%%TRAILER(GRPC-STATUS)%",
        "code": "%DYNAMIC_METADATA(granary:code)%",
        "duration_ms": "%DURATION%",
        "request_bytes": "%BYTES_RECEIVED%",
        "response_bytes": "%BYTES_SENT%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "user_agent": "%REQ(USER-AGENT):128%",
    });
    let log = json!({"log_format": {"json_format": fields, "omit_empty_values": true}});
    json!({
        "name": "envoy.access_loggers.stdout",
        "filter": {"not_health_check_filter": {}},
        "typed_config": typed("extensions.access_loggers.stream.v3.StdoutAccessLog", log),
    })
}
