//! Envoy's configuration: one listener, its filters in order, the server behind it, and the issuers whose keys are fetched.

mod clusters;
mod filters;
mod http;
mod limits;
mod pages;
mod problems;
mod routes;
mod shapes;
mod tokens;

use serde_json::{Value, json};

use super::{Settings, bindings::Binding};
use shapes::{address, seconds, typed};

/// The name of the listener's certificate.
const CERTIFICATE: &str = "certificate";
/// The largest body of a request: as large as the largest message that the services take.
const MAX_REQUEST_BYTES: usize = granary_proto::MAX_MESSAGE_BYTES;

/// What Envoy is started with.
pub(super) fn bootstrap(settings: &Settings, bindings: &[Binding]) -> Value {
    json!({
        // Envoy asks for names where it reads a file again that has changed.
        "node": {"id": "granary-ingress", "cluster": "granary"},
        "admin": {"address": address(settings.admin)},
        "static_resources": {
            "listeners": [listener(settings, bindings)],
            "clusters": clusters::all(settings),
        },
        "overload_manager": overload(settings),
    })
}

/// What Envoy does before it holds more than it may: whoever opens streams and reads nothing has no other end.
fn overload(settings: &Settings) -> Value {
    const HEAP: &str = "envoy.resource_monitors.fixed_heap";
    let action = |name: &str, trigger: Value| {
        let trigger = shapes::merged(json!({"name": HEAP}), trigger);
        json!({"name": format!("envoy.overload_actions.{name}"), "triggers": [trigger]})
    };
    let from = |share: f64| json!({"threshold": {"value": share}});
    json!({
        "refresh_interval": "0.250s",
        // Streams that hold 64 KiB and more are known by how much they hold.
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 16},
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": typed(
                    "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    json!({"max_active_downstream_connections": settings.max_connections}),
                ),
            },
            {
                "name": HEAP,
                "typed_config": typed(
                    "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    json!({"max_heap_size_bytes": settings.max_heap_mib << 20}),
                ),
            },
        ],
        "actions": [
            action("shrink_heap", from(0.8)),
            action("reset_high_memory_stream", json!({"scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.95}})),
            action("stop_accepting_requests", from(0.95)),
        ],
    })
}

fn listener(settings: &Settings, bindings: &[Binding]) -> Value {
    json!({
        "name": "ingress",
        "address": address(settings.listen),
        // Of each connection and direction; bodies that have to be whole have a limit of their own.
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [{
            "transport_socket_connect_timeout": seconds(settings.head_timeout()),
            "transport_socket": tls(settings),
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": http::manager(settings, bindings),
            }],
        }],
    })
}

fn tls(settings: &Settings) -> Value {
    let context = json!({"common_tls_context": {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        // From a file, so that a renewed certificate is taken without a restart.
        "tls_certificate_sds_secret_configs": [{
            "name": CERTIFICATE,
            "sds_config": {"path_config_source": {"path": settings.file("certificate.yaml")}, "resource_api_version": "V3"},
        }],
    }});
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed("extensions.transport_sockets.tls.v3.DownstreamTlsContext", context),
    })
}

/// Where the certificate is; read again when something is renamed in its folder.
pub(super) fn certificate(settings: &Settings) -> Value {
    let folder = settings
        .certificate
        .parent()
        .unwrap_or(&settings.certificate);
    json!({"resources": [typed("extensions.transport_sockets.tls.v3.Secret", json!({
        "name": CERTIFICATE,
        "tls_certificate": {
            "certificate_chain": {"filename": settings.certificate},
            "private_key": {"filename": settings.key},
            "watched_directory": {"path": folder},
        },
    }))]})
}
