//! Messages as schemas, in the JSON form of protobuf.

use std::collections::BTreeMap;

use granary_proto::prost_reflect::{
    EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value as Wire,
};
use serde_json::{Map, Value, json};

use super::comments::Comments;

/// The numbers of `google.api.FieldBehavior`.
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;

/// Schemas of messages and enumerations, each once.
#[derive(Debug)]
pub(super) struct Schemas<'a> {
    comments: &'a Comments,
    all: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(comments: &'a Comments) -> Self {
        Self {
            comments,
            all: BTreeMap::from([("Problem".to_owned(), problem())]),
        }
    }

    /// All of them, by name.
    pub(super) fn all(self) -> BTreeMap<String, Value> {
        self.all
    }

    /// Where the schema of a message is.
    pub(super) fn of(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(known) = well_known(message.full_name()) {
            return known;
        }
        let name = message.full_name();
        if !self.all.contains_key(name) {
            // Its place is taken first, as messages may hold themselves.
            self.all.insert(name.to_owned(), Value::Null);
            let schema = self.without(message, |_| false);
            self.all.insert(name.to_owned(), schema);
        }
        reference(name)
    }

    /// The schema of a message without some of its fields.
    pub(super) fn without(
        &mut self,
        message: &MessageDescriptor,
        left_out: impl Fn(&str) -> bool,
    ) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields().filter(|field| !left_out(field.name())) {
            properties.insert(field.name().to_owned(), self.field(&field));
            if is_required(&field) {
                required.push(field.name().to_owned());
            }
        }
        let mut schema =
            json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        described(
            schema,
            self.comments.get(&message.parent_file(), message.path()),
        )
    }

    /// The schema of a field, with its comment.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = entry.map_entry_value_field();
                json!({"type": "object", "additionalProperties": self.kind(&value.kind())})
            }
            kind if field.is_list() => json!({"type": "array", "items": self.kind(&kind)}),
            kind => self.kind(&kind),
        };
        let mut schema = described(schema, self.comments.of_field(field));
        if behaviors(field).contains(&OUTPUT_ONLY) {
            schema["readOnly"] = true.into();
        }
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.of(message),
            Kind::Enum(values) => self.values(values),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Double | Kind::Float => json!({"type": "number"}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": ["string", "integer"], "format": "int64"})
            }
            Kind::Uint64 | Kind::Fixed64 => {
                json!({"type": ["string", "integer"], "format": "uint64"})
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32"})
            }
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32"}),
        }
    }

    fn values(&mut self, values: &EnumDescriptor) -> Value {
        let name = values.full_name();
        if !self.all.contains_key(name) {
            let names: Vec<String> = values
                .values()
                .map(|value| value.name().to_owned())
                .collect();
            let file = values.parent_file();
            let about = values.values().map(|value| {
                format!(
                    "- `{}`: {}",
                    value.name(),
                    self.comments.get(&file, value.path())
                )
            });
            let about: Vec<String> = std::iter::once(self.comments.get(&file, values.path()))
                .chain(about)
                .collect();
            self.all.insert(
                name.to_owned(),
                described(json!({"type": "string", "enum": names}), about.join("\n")),
            );
        }
        reference(name)
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn described(mut schema: Value, comment: String) -> Value {
    if !comment.is_empty() {
        schema["description"] = comment.into();
    }
    schema
}

/// A schema without its description, which stands elsewhere.
pub(super) fn bare(mut schema: Value) -> Value {
    if let Value::Object(schema) = &mut schema {
        schema.remove("description");
    }
    schema
}

/// Whether the services refuse a request without this field.
pub(super) fn is_required(field: &FieldDescriptor) -> bool {
    behaviors(field).contains(&REQUIRED)
}

fn behaviors(field: &FieldDescriptor) -> Vec<i32> {
    let pool = field.parent_pool();
    let Some(extension) = pool.get_extension_by_name("google.api.field_behavior") else {
        return Vec::new();
    };
    match field.options().get_extension(&extension).as_ref() {
        Wire::List(list) => list.iter().filter_map(Wire::as_enum_number).collect(),
        _ => Vec::new(),
    }
}

// Those that have a JSON form of their own.
fn well_known(name: &str) -> Option<Value> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"}),
        "FieldMask" => {
            json!({"type": "string", "description": "Names of fields, with commas between them."})
        }
        "Struct" | "Empty" => json!({"type": "object"}),
        "Any" => json!({"type": "object", "properties": {"@type": {"type": "string"}}}),
        "ListValue" => json!({"type": "array", "items": {}}),
        "Value" => json!({}),
        _ => return None,
    })
}

fn problem() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "description": "What is wrong (RFC 9457).",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": text("Always `about:blank`: the code says which problem it is."),
            "title": text("The status in words."),
            "status": {"type": "integer", "description": "The status of the answer."},
            "code": text("The code of gRPC, such as `NOT_FOUND`."),
            "detail": text("What is wrong, where, and what to do."),
            "violations": {
                "type": "array",
                "description": "The fields that are wrong.",
                "items": {"type": "object", "properties": {"field": text("Its path, such as `inputs[0].mapping`."), "description": text("What is wrong with it.")}},
            },
            "details": {"type": "array", "description": "More, as `google.rpc` error details.", "items": {"type": "object"}},
        },
    })
}
