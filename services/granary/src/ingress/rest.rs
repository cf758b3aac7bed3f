//! The script that does what the transcoder leaves undone, with its tables of calls and fields.

use std::{collections::BTreeMap, fmt::Write as _};

use granary_proto::prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::bindings::{Binding, Body, Part};

const SCRIPT: &str = include_str!("rest.lua");

/// The whole script. The names that go into it are those of protos: letters, digits, `_` and `.`.
pub(super) fn script(bindings: &[Binding]) -> String {
    let mut fields = BTreeMap::new();
    let mut text =
        String::from("-- Made of the protos by `granary ingress config`.\nlocal CALLS = {\n");
    for binding in bindings {
        let place = match &binding.body {
            Body::Field(name) => format!("{name}."),
            Body::Nothing | Body::Everything => String::new(),
        };
        let message = binding.message();
        if let Some(message) = &message {
            describe(message, &mut fields);
        }
        let message = message.as_ref().map_or("", MessageDescriptor::full_name);
        let _ = writeln!(
            text,
            "  {{'{}', '{}', '{message}', '{place}', {{{}}}}},",
            binding.verb,
            pattern(binding),
            named(binding)
        );
    }
    text.push_str("}\nlocal FIELDS = {\n");
    for (message, known) in fields {
        let _ = writeln!(text, "  ['{message}'] = {{");
        for (field, kind) in known {
            let _ = writeln!(text, "    ['{field}'] = '{kind}',");
        }
        text.push_str("  },\n");
    }
    text.push_str("}\n\n");
    text.push_str(SCRIPT);
    text
}

// The fields that the path says.
fn named(binding: &Binding) -> String {
    let mut named: Vec<String> = Vec::new();
    for part in &binding.path {
        if let Part::Any(field) = part {
            let item = format!("['{field}'] = true");
            if !named.contains(&item) {
                named.push(item);
            }
        }
    }
    named.join(", ")
}

// As a pattern of Lua.
fn pattern(binding: &Binding) -> String {
    let last = binding.path.len().saturating_sub(1);
    let mut text = String::from("^");
    for (place, part) in binding.path.iter().enumerate() {
        match part {
            Part::Word(word) => {
                let _ = write!(text, "/{word}");
            }
            // What follows a colon at the end names the action.
            Part::Any(_) if place == last => text.push_str("/[^/:]+"),
            Part::Any(_) => text.push_str("/[^/]+"),
        }
    }
    if let Some(action) = &binding.action {
        let _ = write!(text, ":{action}");
    }
    text.push('$');
    text
}

type Fields = BTreeMap<String, BTreeMap<String, String>>;

fn describe(message: &MessageDescriptor, all: &mut Fields) {
    if all.contains_key(message.full_name()) {
        return;
    }
    all.insert(message.full_name().to_owned(), BTreeMap::new());
    let mut known = BTreeMap::new();
    for field in message.fields() {
        let kind = kind(&field);
        // Both are right in the JSON form of protobuf.
        known.insert(field.json_name().to_owned(), kind.clone());
        known.insert(field.name().to_owned(), kind);
        if let Some(inner) = inside(&field) {
            describe(&inner, all);
        }
    }
    all.insert(message.full_name().to_owned(), known);
}

fn kind(field: &FieldDescriptor) -> String {
    let mark = if field.is_map() { "{}" } else { "" };
    inside(field).map_or_else(String::new, |message| {
        format!("{mark}{}", message.full_name())
    })
}

/// The message in a field, or among the values of a map, if its fields are those of JSON.
fn inside(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    let message = kind.as_message()?.clone();
    // The well-known ones have forms of their own.
    (!message.full_name().starts_with("google.")).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::{super::bindings, *};

    #[test]
    fn the_tables_know_calls_and_their_fields() {
        let script = script(&bindings::all().unwrap());
        for line in [
            "  {'POST', '^/v1/projects/[^/]+/datasets$', 'granary.metadata.v1.Dataset', 'dataset.', {['parent'] = true}},",
            "  {'GET', '^/v1/projects/[^/]+/datasets$', '', '', {['parent'] = true}},",
            "  {'PATCH', '^/v1/projects/[^/]+/datasets/[^/:]+$', 'granary.metadata.v1.Dataset', 'dataset.', {['dataset.name'] = true}},",
            "  {'POST', '^/v1/projects/[^/]+/jobs/[^/:]+:cancel$', 'granary.job.v1.CancelJobRequest', '', {['name'] = true}},",
            "    ['parameters'] = '{}granary.metadata.v1.Value',",
            "    ['env'] = '',",
            "    ['displayName'] = '',",
            "    ['display_name'] = '',",
        ] {
            assert!(script.lines().any(|found| found == line), "{line}");
        }
        // Nothing but names goes into quotes.
        let tables = script
            .split_once("-- What the transcoder leaves undone")
            .unwrap()
            .0;
        assert!(
            tables
                .lines()
                .skip(1)
                .all(|line| line.matches('\'').count() % 2 == 0),
            "{tables}"
        );
    }
}
