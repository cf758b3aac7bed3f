//! Shapes that come again and again in Envoy's configuration.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Map, Value, json};

const TYPES: &str = "type.googleapis.com/envoy.";

/// A message that says of which type it is, such as `config.route.v3.FilterConfig`.
pub(super) fn typed(kind: &str, fields: Value) -> Value {
    let mut message = Map::from_iter([("@type".to_owned(), Value::from(format!("{TYPES}{kind}")))]);
    if let Value::Object(fields) = fields {
        message.extend(fields);
    }
    Value::Object(message)
}

/// The fields of both.
pub(super) fn merged(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            one.extend(other);
            Value::Object(one)
        }
        (_, other) => other,
    }
}

/// An HTTP filter of Envoy's own kind `name`.
pub(super) fn filter(name: &str, kind: &str, fields: Value) -> Value {
    json!({"name": name, "typed_config": typed(kind, fields)})
}

/// An address to listen on or to connect to.
pub(super) fn address(address: SocketAddr) -> Value {
    host(&address.ip().to_string(), address.port())
}

/// The same by name.
pub(super) fn host(name: &str, port: u16) -> Value {
    json!({"socket_address": {"address": name, "port_value": port}})
}

/// A time in the JSON form of protobuf.
pub(super) fn seconds(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    match nanos {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}.{:09}s", duration.as_secs(), nanos),
    }
}

/// A header that is set whatever was there.
pub(super) fn header(key: &str, value: &str) -> Value {
    json!({"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_fractions() {
        assert_eq!(seconds(Duration::from_secs(60)), "60s");
        assert_eq!(seconds(Duration::from_millis(1250)), "1.250000000s");
    }
}
