//! Whom Envoy calls: the server, issuers for their keys, and where the pages of an application are.

use std::{net::IpAddr, path::Path};

use serde_json::{Value, json};
use url::Url;

use super::shapes::{host, typed};
use crate::ingress::{
    parse::{Host, host_of},
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
    let servers = settings.upstreams.all();
    let servers = servers.map(|(name, hosts)| server(settings, name, hosts));
    let pages = settings.pages.iter().map(|url| pages(settings, url));
    servers.chain(issuers).chain(pages).collect()
}

/// The name of the cluster that pages come from.
pub(super) const PAGES: &str = "pages";

/// The name of the cluster that an issuer's keys come from.
pub(super) fn name_of(place: usize) -> String {
    format!("keys-{place}")
}

fn server(settings: &Settings, name: &str, hosts: &[Host]) -> Value {
    let mut cluster = cluster(name, hosts);
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
    // Beside health, which is asked every few seconds: a replica that is gone shows at once.
    cluster["outlier_detection"] = json!({
        "split_external_local_origin_errors": true, "consecutive_local_origin_failure": 2,
        "enforcing_consecutive_5xx": 0, "enforcing_consecutive_gateway_failure": 0, "enforcing_success_rate": 0,
        "interval": "1s", "base_ejection_time": "2s", "max_ejection_time": "10s", "max_ejection_percent": 50,
    });
    cluster["dns_refresh_rate"] = "5s".into();
    // Who is no longer behind the name gets no more calls, but those in progress end.
    cluster["ignore_health_on_host_removal"] = true.into();
    cluster
}

fn keys(place: usize, issuer: &Issuer) -> Value {
    outside(&name_of(place), &issuer.keys, issuer.ca_file.as_deref())
}

fn pages(settings: &Settings, url: &Url) -> Value {
    let mut cluster = outside(PAGES, url, None);
    // One call a connection: whatever a reader puts behind a call is nobody else's answer.
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed("extensions.upstreams.http.v3.HttpProtocolOptions", json!({
            "common_http_protocol_options": {"max_requests_per_connection": 1},
            "explicit_http_config": {"http_protocol_options": {}},
        })),
    });
    cluster["per_connection_buffer_limit_bytes"] = (64 * 1024).into();
    let most = settings.max_connections;
    cluster["circuit_breakers"] = json!({"thresholds": [{"max_connections": most, "max_pending_requests": most, "max_requests": most, "max_retries": 0}]});
    cluster
}

fn outside(name: &str, url: &Url, ca_file: Option<&Path>) -> Value {
    let host = host_of(url);
    let mut cluster = cluster(name, std::slice::from_ref(&host));
    if url.scheme() == "https" {
        cluster["transport_socket"] = tls(url, &host.name, ca_file);
    }
    cluster
}

fn cluster(name: &str, hosts: &[Host]) -> Value {
    let is_fixed = |host: &Host| host.name.parse::<IpAddr>().is_ok();
    let fixed = hosts.iter().all(is_fixed);
    let endpoints: Vec<_> = hosts
        .iter()
        .map(|at| json!({"endpoint": {"address": host(&at.name, at.port)}}))
        .collect();
    let mut cluster = json!({
        "name": name,
        "type": if fixed { "STATIC" } else { "STRICT_DNS" },
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": endpoints}],
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
