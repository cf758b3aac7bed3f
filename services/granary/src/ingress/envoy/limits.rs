//! How many calls a second, of one address and of one principal. Each Envoy counts for itself.

use serde_json::{Value, json};

use super::{shapes::filter, tokens};

/// Addresses and principals that are told apart at a time; the ones not heard of for the longest time are forgotten.
const REMEMBERED: u32 = 100_000;

/// Before tokens are looked at. IPv6 addresses of one network count as one: everybody has as many as they like.
pub(super) fn by_address(rate: u32) -> Value {
    let action =
        json!({"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}});
    limit(
        "granary.address_limit",
        &[action],
        &["masked_remote_address"],
        rate,
    )
}

/// After the token has been verified.
pub(super) fn by_principal(rate: u32) -> Value {
    let claim = |name: &str| {
        json!({"metadata": {
            "descriptor_key": name,
            "metadata_key": {"key": tokens::FILTER, "path": [{"key": tokens::PAYLOAD}, {"key": name}]},
        }})
    };
    limit(
        "granary.principal_limit",
        &[claim("iss"), claim("sub")],
        &["iss", "sub"],
        rate,
    )
}

fn limit(name: &str, actions: &[Value], keys: &[&str], rate: u32) -> Value {
    // A key without a value stands for each value that comes.
    let entries: Vec<Value> = keys.iter().map(|key| json!({"key": key})).collect();
    filter(
        name,
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        json!({
            "stat_prefix": name,
            "filter_enabled": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
            "filter_enforced": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
            // For what has neither address nor principal, such as a call without a token: let through here.
            "token_bucket": {"max_tokens": u32::MAX, "tokens_per_fill": u32::MAX, "fill_interval": "1s"},
            "always_consume_default_token_bucket": false,
            "max_dynamic_descriptors": REMEMBERED,
            "rate_limits": [{"actions": actions}],
            "descriptors": [{
                "entries": entries,
                "token_bucket": {"max_tokens": rate.saturating_mul(2), "tokens_per_fill": rate, "fill_interval": "1s"},
            }],
            "rate_limited_as_resource_exhausted": true,
            "response_headers_to_add": [{"header": {"key": "retry-after", "value": "1"}}],
        }),
    )
}
