//! Where calls go, and how long they may take.

use serde_json::{Value, json};

use super::{
    filters, pages,
    shapes::{header, seconds, typed},
};
use crate::ingress::{
    bindings::{self, Binding},
    openapi,
    settings::Settings,
};

/// The larger of the two files that Envoy serves itself is the OpenAPI document.
const MAX_FILE_BYTES: u32 = 4 << 20;

pub(super) fn all(settings: &Settings, bindings: &[Binding]) -> Value {
    let front = match settings.pages {
        Some(_) => pages::PREFIX,
        None => "/docs",
    };
    let mut routes = vec![
        without_transcoding(
            json!({"match": {"path": "/"}, "redirect": {"path_redirect": front, "response_code": "FOUND"}}),
        ),
        file(settings, "/docs", "index.html", "text/html; charset=utf-8"),
        file(
            settings,
            "/openapi.json",
            "openapi.json",
            "application/json",
        ),
    ];
    routes.extend(pages::routes(settings));
    routes.extend(
        bindings::streams(bindings)
            .iter()
            .map(|rpc| stream(settings, rpc)),
    );
    // Messages of gRPC go on as they come: services refuse those that are too large by their first bytes.
    let usual = settings.upstreams.usual();
    let mut prefixes = settings.upstreams.prefixes();
    prefixes.push(("/grpc.", usual));
    let calls = prefixes
        .into_iter()
        .map(|(prefix, cluster)| unbuffered(call(settings, prefix, cluster)));
    routes.extend(calls);
    // REST: once it has become a call, it goes by the routes above.
    routes.push(call(settings, "/", usual));
    let mut host = json!({
        "name": "granary",
        "domains": ["*"],
        "routes": routes,
        "response_headers_to_add": [header("x-content-type-options", "nosniff")],
    });
    if !settings.cors_origins.is_empty() {
        host["typed_per_filter_config"] = json!({filters::CORS: cors(settings)});
    }
    json!({"max_direct_response_body_size_bytes": MAX_FILE_BYTES, "virtual_hosts": [host]})
}

fn call(settings: &Settings, prefix: &str, cluster: &str) -> Value {
    json!({
        "match": {"prefix": prefix},
        "route": {"cluster": cluster, "timeout": seconds(settings.request_timeout), "retry_policy": again()},
    })
}

// It may say nothing for hours, so that only its length has a limit; pings find out on both sides who is gone.
fn stream(settings: &Settings, rpc: &str) -> Value {
    unbuffered(json!({
        "match": {"path": rpc},
        "route": {
            "cluster": settings.upstreams.of(rpc),
            "timeout": "0s",
            "idle_timeout": "0s",
            "max_stream_duration": {"max_stream_duration": seconds(settings.stream_timeout)},
            "retry_policy": again(),
        },
    }))
}

// Only what never reached a server, or that it refused to begin; everything else is for callers to decide.
fn again() -> Value {
    json!({
        "retry_on": "connect-failure,refused-stream",
        "num_retries": 2,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", json!({})),
        }],
        "host_selection_retry_max_attempts": 3,
    })
}

fn unbuffered(route: Value) -> Value {
    let buffer = typed(
        "extensions.filters.http.buffer.v3.BufferPerRoute",
        json!({"disabled": true}),
    );
    with(
        route,
        "typed_per_filter_config",
        json!({filters::BUFFER: buffer}),
    )
}

fn without_transcoding(route: Value) -> Value {
    let off = typed("config.route.v3.FilterConfig", json!({"disabled": true}));
    with(
        route,
        "typed_per_filter_config",
        json!({filters::TRANSCODER: off}),
    )
}

fn file(settings: &Settings, path: &str, name: &str, media_type: &str) -> Value {
    let headers = [
        header("content-type", media_type),
        header(
            "content-security-policy",
            &openapi::content_security_policy(),
        ),
        header("cache-control", "no-cache"),
    ];
    without_transcoding(json!({
        "match": {"path": path},
        "direct_response": {"status": 200, "body": {"filename": settings.file(name)}},
        "response_headers_to_add": headers,
    }))
}

fn cors(settings: &Settings) -> Value {
    let origins: Vec<Value> = settings
        .cors_origins
        .iter()
        .map(|origin| json!({"exact": origin}))
        .collect();
    typed(
        "extensions.filters.http.cors.v3.CorsPolicy",
        json!({
            "allow_origin_string_match": origins,
            "allow_methods": "GET, POST, PATCH, DELETE",
            "allow_headers": "authorization, content-type, grpc-timeout, x-grpc-web, x-request-id, x-user-agent",
            "expose_headers": "grpc-message, grpc-status, grpc-status-details-bin, retry-after, x-request-id",
            "max_age": "7200",
        }),
    )
}

fn with(mut value: Value, key: &str, field: Value) -> Value {
    value[key] = field;
    value
}
