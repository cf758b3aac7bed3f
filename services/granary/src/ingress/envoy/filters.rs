//! What a call goes through, in this order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{MAX_REQUEST_BYTES, limits, shapes::filter, tokens};
use crate::ingress::{bindings::Binding, settings::Settings};

pub(super) const BUFFER: &str = "envoy.filters.http.buffer";
pub(super) const CORS: &str = "envoy.filters.http.cors";
pub(super) const GRPC_WEB: &str = "envoy.filters.http.grpc_web";
pub(super) const LUA: &str = "envoy.filters.http.lua";
pub(super) const TRANSCODER: &str = "envoy.filters.http.grpc_json_transcoder";
/// Messages grow when they become JSON.
const MAX_RESPONSE_BYTES: usize = 4 * MAX_REQUEST_BYTES;

/// The filters.
pub(super) fn all(settings: &Settings, bindings: &[Binding]) -> Vec<Value> {
    let clusters = settings.upstreams.all().map(|(name, _)| name);
    let mut all = vec![health("/healthz", []), health("/readyz", clusters)];
    if !settings.allow.is_empty() {
        all.push(allowed(settings));
    }
    if !settings.cors_origins.is_empty() {
        // Before tokens are looked at: the question whether a page may call comes without one.
        all.push(filter(
            CORS,
            "extensions.filters.http.cors.v3.Cors",
            json!({}),
        ));
    }
    if settings.rate_per_address > 0 {
        all.push(limits::by_address(settings.rate_per_address));
    }
    all.push(tokens::all(settings, bindings));
    if settings.rate_per_principal > 0 {
        all.push(limits::by_principal(settings.rate_per_principal));
    }
    all.push(filter(
        BUFFER,
        "extensions.filters.http.buffer.v3.Buffer",
        json!({"max_request_bytes": MAX_REQUEST_BYTES}),
    ));
    all.push(filter(
        LUA,
        "extensions.filters.http.lua.v3.Lua",
        json!({"default_source_code": {"filename": settings.file("rest.lua")}}),
    ));
    all.push(filter(
        GRPC_WEB,
        "extensions.filters.http.grpc_web.v3.GrpcWeb",
        json!({}),
    ));
    all.push(transcoder(settings, bindings));
    all.push(filter(
        "envoy.filters.http.router",
        "extensions.filters.http.router.v3.Router",
        json!({"suppress_envoy_headers": true}),
    ));
    all
}

// Answered here: that Envoy lives, or that a replica of each service behind it says that it serves.
fn health<'a>(path: &str, clusters: impl IntoIterator<Item = &'a str>) -> Value {
    let mut check = json!({
        "pass_through_mode": false,
        "headers": [{"name": ":path", "string_match": {"exact": path}}],
    });
    for cluster in clusters {
        check["cluster_min_healthy_percentages"][cluster] = json!({"value": 1});
    }
    let name = format!("granary{}", path.replace('/', "."));
    filter(
        &name,
        "extensions.filters.http.health_check.v3.HealthCheck",
        check,
    )
}

fn allowed(settings: &Settings) -> Value {
    let networks = settings.allow.iter().map(|network| json!({"remote_ip": {"address_prefix": network.address, "prefix_len": network.bits}}));
    let networks: Vec<Value> = networks.collect();
    filter(
        "envoy.filters.http.rbac",
        "extensions.filters.http.rbac.v3.RBAC",
        json!({"rules": {"action": "ALLOW", "policies": {"allowed": {"permissions": [{"any": true}], "principals": networks}}}}),
    )
}

fn transcoder(settings: &Settings, bindings: &[Binding]) -> Value {
    let services: BTreeSet<String> = bindings
        .iter()
        .map(|binding| binding.method.parent_service().full_name().to_owned())
        .collect();
    filter(
        TRANSCODER,
        "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        json!({
            "proto_descriptor": settings.file("descriptors.pb"),
            "services": services,
            "convert_grpc_status": true,
            // Names as in the protos, unset fields left out: as `granary --output json` prints.
            "print_options": {"preserve_proto_field_names": true, "stream_newline_delimited": true},
            "request_validation_options": {
                "reject_unknown_method": true,
                "reject_unknown_query_parameters": true,
                "reject_binding_body_field_collisions": true,
            },
            // As browsers and Python's urlencode write blanks.
            "query_param_unescape_plus": true,
            "max_request_body_size": MAX_REQUEST_BYTES,
            "max_response_body_size": MAX_RESPONSE_BYTES,
        }),
    )
}
