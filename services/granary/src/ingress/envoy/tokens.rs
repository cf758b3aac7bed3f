//! Which tokens are let through to the services, which verify them again.

use serde_json::{Map, Value, json};

use super::{
    clusters, pages,
    shapes::{filter, seconds},
};
use crate::ingress::{
    bindings::{Binding, Part},
    settings::Settings,
};

pub(super) const FILTER: &str = "envoy.filters.http.jwt_authn";
/// Where the claims of a verified token are for the filters that follow.
pub(super) const PAYLOAD: &str = "payload";
/// How many verified tokens each thread keeps.
const KEPT_TOKENS: u32 = 1000;

/// The filter: a token of any of the issuers, but for what needs none.
pub(super) fn all(settings: &Settings, bindings: &[Binding]) -> Value {
    let mut providers = Map::from_iter([("own".to_owned(), own(settings))]);
    providers.extend(issuers(settings));
    let any: Vec<Value> = providers
        .keys()
        .map(|name| json!({"provider_name": name}))
        .collect();
    let required = match any.as_slice() {
        [one] => one.clone(),
        _ => json!({"requires_any": {"requirements": any}}),
    };
    let mut rules: Vec<Value> = open(settings, bindings)
        .into_iter()
        .map(|found| json!({"match": found}))
        .collect();
    rules.push(json!({"match": {"prefix": "/"}, "requires": required}));
    filter(
        FILTER,
        "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        json!({"providers": providers, "rules": rules}),
    )
}

fn own(settings: &Settings) -> Value {
    let mut own = provider(
        settings,
        &settings.own.name,
        std::slice::from_ref(&settings.own.audience),
    );
    // Of tokens seen before, only the time is looked at: half of what Envoy does for a call. Only here, where keys do not change while Envoy runs: what
    // it keeps outlives the key.
    own["jwt_cache_config"] = json!({"jwt_cache_size": KEPT_TOKENS});
    own["local_jwks"] = json!({"inline_string": settings.own.keys.to_string()});
    own
}

fn issuers(settings: &Settings) -> impl Iterator<Item = (String, Value)> {
    settings.issuers.iter().enumerate().map(|(place, issuer)| {
        let mut provider = provider(settings, &issuer.name, &issuer.audiences);
        // Fetched beside the calls; while the issuer is away, the last keys go on.
        provider["remote_jwks"] = json!({
            "http_uri": {"uri": issuer.keys.as_str(), "cluster": clusters::name_of(place), "timeout": "5s"},
            "cache_duration": seconds(settings.keys_refresh),
            "async_fetch": {"failed_refetch_duration": "1s"},
        });
        (format!("oidc-{place}"), provider)
    })
}

fn provider(settings: &Settings, issuer: &str, audiences: &[String]) -> Value {
    let mut provider = json!({
        "issuer": issuer,
        "forward": true,
        "payload_in_metadata": PAYLOAD,
        // The only place: a token in a URL would be in somebody's log.
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "require_expiration": true,
        "clock_skew_seconds": settings.clock_skew.as_secs(),
    });
    if !audiences.is_empty() {
        provider["audiences"] = audiences.into();
    }
    provider
}

// What needs no token: who is well, what there is, pages, and the exchange of a key for a token.
fn open(settings: &Settings, bindings: &[Binding]) -> Vec<Value> {
    let mut found = vec![
        json!({"prefix": "/grpc.health.v1.Health/"}),
        json!({"path": "/"}),
        json!({"path": "/docs"}),
        json!({"path": "/openapi.json"}),
    ];
    if settings.pages.is_some() {
        found.push(json!({"path": pages::ROOT}));
        found.push(json!({"prefix": pages::PREFIX}));
    }
    for binding in bindings.iter().filter(|binding| binding.is_open()) {
        found.push(json!({"path": binding.rpc()}));
        found.push(json!({"path": path(binding)}));
    }
    found
}

// Of a call whose path has no names in it, as those that need no token are.
fn path(binding: &Binding) -> String {
    let words = binding.path.iter().map(|part| match part {
        Part::Word(word) => format!("/{word}"),
        Part::Any(_) => "/*".to_owned(),
    });
    let action = binding.action.iter().map(|action| format!(":{action}"));
    words.chain(action).collect()
}
