//! Messages in the JSON form of protobuf, by the descriptors: what `--output json` prints and what YAML files are read as.

use std::sync::LazyLock;

use granary_core::{Error, Result};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, SerializeOptions};
use serde_json::Value;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(crate::DESCRIPTORS).ok());

/// The JSON form of a message; field names as in the protos, unset fields left out.
pub fn to_json<M: Message + Name>(message: &M) -> Result<Value> {
    let dynamic = DynamicMessage::decode(descriptor::<M>()?, message.encode_to_vec().as_slice())
        .map_err(|error| Error::internal("showing a message as JSON", error))?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| Error::internal("showing a message as JSON", error))
}

/// Reads a message from its JSON form. Unknown fields are errors.
pub fn from_json<M: Message + Name + Default>(json: Value) -> Result<M> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor::<M>()?, json, &options)
        .map_err(|error| Error::invalid("", error.to_string()))?;
    M::decode(dynamic.encode_to_vec().as_slice()).map_err(|error| Error::internal("reading a message from JSON", error))
}

/// The descriptor of a message.
pub fn descriptor<M: Name>() -> Result<prost_reflect::MessageDescriptor> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(&M::full_name()))
        .ok_or_else(|| Error::Internal { context: format!("looking up the message {}", M::full_name()), cause: None })
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
        assert_eq!(message.steps[0].kind, Some(step::Kind::Transform("thumbnail".into())));
        assert_eq!(to_json(&message).unwrap(), json);
    }

    #[test]
    fn unknown_fields_are_errors() {
        let error = from_json::<PipelineDefinition>(serde_json::json!({"name": "a", "notify": {}})).unwrap_err();
        assert!(error.to_string().contains("notify"), "{error}");
    }
}
