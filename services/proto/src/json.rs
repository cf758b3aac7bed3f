//! Messages in the JSON form of protobuf, by the descriptors: what `--output json` prints and what YAML files are read as.

use std::sync::LazyLock;

use granary_core::{Error, Result};
use prost::{Message, Name};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, Kind, MessageDescriptor,
    ReflectMessage as _, SerializeOptions,
};
use serde_json::{Map, Value};

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(crate::DESCRIPTORS).ok());

/// The JSON form of a message; field names as in the protos, unset fields left out.
pub fn to_json<M: Message + Name>(message: &M) -> Result<Value> {
    let dynamic = DynamicMessage::decode(descriptor::<M>()?, message.encode_to_vec().as_slice())
        .map_err(|error| Error::internal("showing a message as JSON", error))?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false);
    let mut json = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| Error::internal("showing a message as JSON", error))?;
    in_order(&dynamic.descriptor(), &mut json);
    Ok(json)
}

// The names in a map come in no order: sorted, the same message always looks the same. Fields stay in the order of the proto.
fn in_order(message: &MessageDescriptor, json: &mut Value) {
    let Value::Object(object) = json else { return };
    if message.full_name() == "google.protobuf.Struct" {
        return sort(object);
    }
    for (name, value) in object {
        let Some(field) = message.get_field_by_name(name) else {
            continue;
        };
        let mut kind = field.kind();
        if let (true, Kind::Message(entry), Value::Object(names)) =
            (field.is_map(), &kind, &mut *value)
        {
            names.sort_keys();
            kind = entry.map_entry_value_field().kind();
        }
        let Kind::Message(inner) = kind else { continue };
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| in_order(&inner, item)),
            Value::Object(names) if field.is_map() => {
                names.values_mut().for_each(|item| in_order(&inner, item))
            }
            single => in_order(&inner, single),
        }
    }
}

fn sort(object: &mut Map<String, Value>) {
    object.sort_keys();
    for value in object.values_mut() {
        match value {
            Value::Object(inner) => sort(inner),
            Value::Array(items) => items
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(sort),
            _ => {}
        }
    }
}

/// Reads a message from its JSON form. Unknown fields are errors.
pub fn from_json<M: Message + Name + Default>(json: Value) -> Result<M> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor::<M>()?, json, &options)
        .map_err(|error| Error::invalid("", error.to_string()))?;
    M::decode(dynamic.encode_to_vec().as_slice())
        .map_err(|error| Error::internal("reading a message from JSON", error))
}

/// The descriptor of a message.
pub fn descriptor<M: Name>() -> Result<MessageDescriptor> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(&M::full_name()))
        .ok_or_else(|| Error::Internal {
            context: format!("looking up the message {}", M::full_name()),
            cause: None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::v1::{PipelineDefinition, step};

    #[test]
    fn yaml_shapes_become_messages_and_come_back() {
        let json = serde_json::json!({
            "name": "recordings",
            "on": {"event": "session.completed", "dataset": "raw"},
            "for_each": "asset",
            "steps": [{"name": "preview", "transform": "thumbnail", "with": {"max_edge": 256.0}, "into": "processed"}],
        });
        let message: PipelineDefinition = from_json(json.clone()).unwrap();
        assert_eq!(
            message.steps[0].kind,
            Some(step::Kind::Transform("thumbnail".into()))
        );
        assert_eq!(to_json(&message).unwrap(), json);
    }

    #[test]
    fn names_in_maps_are_sorted_and_fields_are_not() {
        let with: Map<String, Value> = ["z", "b", "a", "m"]
            .map(|name| {
                (
                    name.to_owned(),
                    serde_json::json!({"y": 1.0, "x": [{"q": 1.0, "p": 2.0}]}),
                )
            })
            .into_iter()
            .collect();
        let definition: PipelineDefinition =
            from_json(serde_json::json!({"steps": [{"with": with}], "name": "n"})).unwrap();
        let text = to_json(&definition).unwrap().to_string();
        let inner = r#"{"x":[{"p":2.0,"q":1.0}],"y":1.0}"#;
        assert_eq!(
            text,
            format!(
                r#"{{"name":"n","steps":[{{"with":{{"a":{inner},"b":{inner},"m":{inner},"z":{inner}}}}}]}}"#
            )
        );
    }

    #[test]
    fn unknown_fields_are_errors() {
        let error = from_json::<PipelineDefinition>(serde_json::json!({"name": "a", "notify": {}}))
            .unwrap_err();
        assert!(error.to_string().contains("notify"), "{error}");
    }
}
