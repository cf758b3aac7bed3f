//! Compares a document with the descriptor of the message that it should be, so that errors have a path and a suggestion.

use granary_core::{Result, error::Violations, name::quote, suggest::did_you_mean};
use granary_proto::prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value as Json;

/// Finds everything that the message has no place for.
pub(super) fn check(message: &MessageDescriptor, json: &Json) -> Result<()> {
    let mut violations = Violations::default();
    fields(message, json, "", &mut violations);
    violations.finish()
}

fn fields(message: &MessageDescriptor, json: &Json, path: &str, violations: &mut Violations) {
    if message.full_name().starts_with("google.protobuf.") {
        return well_known(message.full_name(), json, path, violations);
    }
    let Json::Object(object) = json else {
        return violations.add(
            path,
            format!(
                "expected the fields {}, got {}",
                names(message).join(", "),
                found(json)
            ),
        );
    };
    for (key, value) in object {
        match message
            .get_field_by_name(key)
            .or_else(|| message.get_field_by_json_name(key))
        {
            Some(field) => one_field(&field, value, &join(path, key), violations),
            None => violations.add(
                path,
                format!(
                    "unknown field {}; {}",
                    quote(key),
                    did_you_mean(key, names(message).iter().map(String::as_str))
                ),
            ),
        }
    }
    for oneof in message.oneofs() {
        let set: Vec<String> = oneof
            .fields()
            .filter(|f| object.get(f.name()).is_some_and(|v| !v.is_null()))
            .map(|f| quote(f.name()))
            .collect();
        if set.len() > 1 {
            violations.add(path, format!("{} exclude each other", set.join(" and ")));
        }
    }
}

fn well_known(name: &str, json: &Json, path: &str, violations: &mut Violations) {
    let expected = match name {
        "google.protobuf.Struct" if !json.is_object() => "fields",
        "google.protobuf.ListValue" if !json.is_array() => "a list",
        "google.protobuf.Timestamp" if !json.is_string() => "a time such as 2021-03-01T16:12:21Z",
        "google.protobuf.Duration" if !json.is_string() => "a duration such as 600s",
        _ => return,
    };
    violations.add(path, format!("expected {expected}, got {}", found(json)));
}

fn one_field(field: &FieldDescriptor, json: &Json, path: &str, violations: &mut Violations) {
    if json.is_null() {
        return;
    }
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return;
        };
        let Json::Object(object) = json else {
            return violations.add(
                path,
                format!("expected names each with a value, got {}", found(json)),
            );
        };
        let value_kind = entry.map_entry_value_field().kind();
        for (key, item) in object {
            value(&value_kind, item, &join(path, key), violations);
        }
    } else if field.is_list() {
        let Json::Array(items) = json else {
            return violations.add(path, format!("expected a list, got {}", found(json)));
        };
        for (index, item) in items.iter().enumerate() {
            value(&field.kind(), item, &format!("{path}[{index}]"), violations);
        }
    } else {
        value(&field.kind(), json, path, violations);
    }
}

fn value(kind: &Kind, json: &Json, path: &str, violations: &mut Violations) {
    let (fits, expected) = match kind {
        Kind::Message(message) => return fields(message, json, path, violations),
        Kind::String | Kind::Bytes => (json.is_string(), "text"),
        Kind::Bool => (json.is_boolean(), "true or false"),
        Kind::Double | Kind::Float => (json.is_number(), "a number"),
        Kind::Enum(_) => (json.is_string(), "the name of a value"),
        _ => (
            json.is_i64() || json.is_u64() || json.as_f64().is_some_and(|n| n.fract() == 0.0),
            "a whole number",
        ),
    };
    if !fits {
        let advice = if expected == "text" && (json.is_number() || json.is_boolean()) {
            ": put it in quotes"
        } else {
            ""
        };
        violations.add(
            path,
            format!("expected {expected}, got {}{advice}", found(json)),
        );
    }
}

fn names(message: &MessageDescriptor) -> Vec<String> {
    message
        .fields()
        .map(|field| field.name().to_owned())
        .collect()
}

/// What a value is, for a message.
pub(crate) fn found(json: &Json) -> String {
    match json {
        Json::Null => "nothing".into(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => quote(text),
        Json::Array(_) => "a list".into(),
        Json::Object(_) => "fields".into(),
    }
}

/// The path of a field.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
