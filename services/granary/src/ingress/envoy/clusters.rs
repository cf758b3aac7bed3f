//! Whom Envoy calls: the server, and issuers for their keys.

use std::{net::IpAddr, path::Path};

use serde_json::{Value, json};
use url::Url;

use super::{
    SERVER,
    shapes::{host, typed},
};
use crate::ingress::{
    parse::bare,
    settings::{Issuer, Settings},
};

/// Where Debian, Alpine and most images have the authorities that everybody trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) fn all(settings: &Settings) -> Vec<Value> {
    let issuers = settings
        .issuers
        .iter()
        .enumerate()
        .map(|(place, issuer)| keys(place, issuer));
    std::iter::once(server(settings)).chain(issuers).collect()
}

/// The name of the cluster that an issuer's keys come from.
pub(super) fn name_of(place: usize) -> String {
    format!("keys-{place}")
}

fn server(settings: &Settings) -> Value {
    let mut cluster = cluster(SERVER, &settings.upstream.name, settings.upstream.port);
    cluster["lb_policy"] = "LEAST_REQUEST".into();
    // Without encryption and without HTTP/1.1: gRPC within the cluster.
    let options = json!({"explicit_http_config": {"http2_protocol_options": {
        "connection_keepalive": {"interval": "30s", "timeout": "20s"},
    }}});
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed("extensions.upstreams.http.v3.HttpProtocolOptions", options),
    });
    // Running streams count as requests.
    cluster["circuit_breakers"] = json!({"thresholds": [
        {"max_connections": 1024, "max_pending_requests": 1024, "max_requests": settings.max_connections, "max_retries": 16},
    ]});
    cluster["health_checks"] = json!([{
        "interval": "5s", "no_traffic_interval": "5s", "timeout": "3s",
        "unhealthy_threshold": 2, "healthy_threshold": 1, "grpc_health_check": {},
    }]);
    cluster
}

fn keys(place: usize, issuer: &Issuer) -> Value {
    let (name, port) = (
        issuer.keys.host().map(bare).unwrap_or_default(),
        issuer.keys.port_or_known_default().unwrap_or(443),
    );
    let mut cluster = cluster(&name_of(place), &name, port);
    if issuer.keys.scheme() == "https" {
        cluster["transport_socket"] = tls(&issuer.keys, &name, issuer.ca_file.as_deref());
    }
    cluster
}

fn cluster(name: &str, address: &str, port: u16) -> Value {
    let fixed = address.parse::<IpAddr>().is_ok();
    let mut cluster = json!({
        "name": name,
        "type": if fixed { "STATIC" } else { "STRICT_DNS" },
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": host(address, port)}}]}],
        },
    });
    if !fixed {
        cluster["dns_lookup_family"] = "V4_PREFERRED".into();
    }
    cluster
}

fn tls(url: &Url, name: &str, ca_file: Option<&Path>) -> Value {
    let is_name = matches!(url.host(), Some(url::Host::Domain(_)));
    let authorities = ca_file.unwrap_or(Path::new(AUTHORITIES));
    let mut context = json!({"common_tls_context": {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "validation_context": {
            "trusted_ca": {"filename": authorities},
            "match_typed_subject_alt_names": [{"san_type": if is_name { "DNS" } else { "IP_ADDRESS" }, "matcher": {"exact": name}}],
        },
    }});
    if is_name {
        context["sni"] = name.into();
    }
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed("extensions.transport_sockets.tls.v3.UpstreamTlsContext", context),
    })
}
