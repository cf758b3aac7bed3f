//! Each step on genuine files, made here.

mod content;
mod session;

use prost_types::{Struct, value::Kind};

use super::Action;
use crate::definition::params::Params;

fn wire(json: &serde_json::Value) -> prost_types::Value {
    let kind = match json {
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        serde_json::Value::Bool(boolean) => Kind::BoolValue(*boolean),
        serde_json::Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(wire).collect(),
        }),
        serde_json::Value::Object(_) => Kind::StructValue(structure(json)),
        serde_json::Value::Null => Kind::NullValue(0),
    };
    prost_types::Value { kind: Some(kind) }
}

fn structure(json: &serde_json::Value) -> Struct {
    let fields = json.as_object().into_iter().flatten();
    Struct {
        fields: fields
            .map(|(key, value)| (key.clone(), wire(value)))
            .collect(),
    }
}

fn action(name: &str, with: serde_json::Value) -> Action {
    let with = structure(&with);
    let mut params = Params::new(Some(&with));
    let action = Action::read(name, &mut params).unwrap();
    params.finish().unwrap();
    action
}

fn nothing() -> serde_json::Value {
    serde_json::json!({})
}
