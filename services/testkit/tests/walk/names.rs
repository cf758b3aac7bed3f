//! Where requests name what they are about, as the REST form of each RPC says it, and right names to put there.

use granary_core::name::asset_id;
use granary_proto::prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use crate::world::PROJECT;

const VERBS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
/// The id of what there may be in each collection.
const IDS: [(&str, &str); 14] = [
    ("projects", PROJECT),
    ("datasets", "raw"),
    ("sessions", "s"),
    ("labels", "l"),
    ("snapshots", "n"),
    ("pipelines", "p"),
    ("runs", "r"),
    ("jobs", "j"),
    ("members", "m"),
    ("apiKeys", "k"),
    ("workers", "w"),
    ("applications", "any"),
    ("versions", "v1"),
    ("entrypoints", "run"),
];
/// The file in the session.
pub(crate) const FILE: &str = "a.bin";

/// The name of the file in the session, of the project with this id.
pub(crate) fn asset(project: &str) -> String {
    let id = asset_id("raw", "s", FILE);
    format!("projects/{project}/datasets/raw/assets/{id}")
}

/// A request that names what it is about, and says nothing else.
pub(crate) fn naming(method: &MethodDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.input());
    name_in(&mut message, method);
    message
}

/// Names in a request what it is about.
pub(crate) fn name_in(message: &mut DynamicMessage, method: &MethodDescriptor) {
    for (field, name) in places(method) {
        put(message, &field, name);
    }
}

/// Such as `dataset.name` and `projects/walk/datasets/raw`.
fn places(method: &MethodDescriptor) -> Vec<(String, String)> {
    let http = method
        .parent_pool()
        .get_extension_by_name("google.api.http");
    let options = method.options();
    let rule = options.get_extension(&http.unwrap());
    let rule = rule.as_message().unwrap();
    let Some(verb) = VERBS.into_iter().find(|verb| rule.has_field_by_name(verb)) else {
        return Vec::new();
    };
    let template = rule.get_field_by_name(verb).unwrap();
    let parts = template.as_str().unwrap().split('{').skip(1);
    let place = |part: &str| {
        let (field, rest) = part.split_once('=').unwrap();
        let (pattern, _) = rest.split_once('}').unwrap();
        (field.to_owned(), name(pattern))
    };
    parts.map(place).collect()
}

/// `projects/walk/jobs/j` for `projects/*/jobs/*`.
fn name(pattern: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in pattern.split('/') {
        let collection = words.last().cloned().unwrap_or_default();
        words.push(match (word, collection.as_str()) {
            ("*", "assets" | "uploads") => asset_id("raw", "s", FILE),
            ("*", _) => {
                let found = IDS.iter().find(|(known, _)| *known == collection);
                let (_, id) = found.unwrap_or_else(|| panic!("an id for {collection}"));
                (*id).to_owned()
            }
            (word, _) => word.to_owned(),
        });
    }
    words.join("/")
}

fn put(message: &mut DynamicMessage, field: &str, text: String) {
    let (first, rest) = field.split_once('.').unwrap_or((field, ""));
    match message.get_field_by_name_mut(first).unwrap() {
        Value::Message(inner) => put(inner, rest, text),
        value => *value = Value::String(text),
    }
}
