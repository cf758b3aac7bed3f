//! The pages of an application, from a bucket or another host of static files, under the same origin as the API: no other origin has to be let in.

use serde_json::{Value, json};
use url::Url;

use super::{
    clusters::PAGES,
    filters::{GRPC_WEB, LUA, TRANSCODER},
    shapes::{header, seconds, typed},
};
use crate::ingress::{parse::host_of, settings::Settings};

/// Where they are below the origin.
pub(super) const PREFIX: &str = "/app/";
/// Without the last `/`.
pub(super) const ROOT: &str = "/app";
/// Paths that name no file, whose last part has no dot: an application shows something of its own there.
const VIEWS: &str = "/app/([^?]*/)?[^./?]*";
/// What an application may be made to do, whatever it says itself: nobody frames it, and no plug-in runs in it.
const POLICY: &str = "frame-ancestors 'none'; object-src 'none'; base-uri 'self'";

/// Where they are, if there are any; nothing but reading gets there, and no token.
pub(super) fn routes(settings: &Settings) -> Vec<Value> {
    let Some(url) = &settings.pages else {
        return Vec::new();
    };
    let reads = json!([{"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}]);
    let index = format!("{}/index.html", folder(url));
    let files = format!("{}/", folder(url));
    vec![
        plain(
            json!({"match": {"path": ROOT}, "redirect": {"path_redirect": PREFIX, "response_code": "FOUND"}}),
        ),
        read(json!({
            "match": {"safe_regex": {"regex": VIEWS}, "headers": reads},
            "route": route(settings, url, "regex_rewrite", json!({"pattern": {"regex": "^[^?]*"}, "substitution": index})),
        })),
        read(json!({
            "match": {"prefix": PREFIX, "headers": reads},
            "route": route(settings, url, "prefix_rewrite", files.into()),
        })),
        plain(json!({"match": {"prefix": PREFIX}, "direct_response": {"status": 405}})),
    ]
}

fn folder(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}

fn route(settings: &Settings, url: &Url, key: &str, rewrite: Value) -> Value {
    let host = host_of(url);
    let name = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or(&host.name).to_owned(),
    };
    json!({
        "cluster": PAGES,
        "timeout": seconds(settings.request_timeout),
        "host_rewrite_literal": name,
        key: rewrite,
    })
}

// Without what the API's filters would make of it.
fn plain(mut route: Value) -> Value {
    let off = typed("config.route.v3.FilterConfig", json!({"disabled": true}));
    route["typed_per_filter_config"] = json!({TRANSCODER: off, GRPC_WEB: off, LUA: off});
    route
}

// To the bucket, with what of the headers of either side gets to the other.
fn read(route: Value) -> Value {
    let mut route = plain(route);
    route["typed_per_filter_config"][LUA] = typed(
        "extensions.filters.http.lua.v3.LuaPerRoute",
        json!({"source_code": {"inline_string": include_str!("pages.lua")}}),
    );
    let mut policy = header("content-security-policy", POLICY);
    // Beside the application's own: both hold.
    policy["append_action"] = "APPEND_IF_EXISTS_OR_ADD".into();
    route["response_headers_to_add"] = json!([policy]);
    route
}
