//! The script that does what the transcoder leaves undone, with its tables of calls and fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use granary_proto::prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::bindings::{self, Binding, Body, Part};

const SCRIPT: &str = include_str!("rest.lua");

/// The whole script. The names that go into it are those of protos: letters, digits, `_` and `.`.
pub(super) fn script(bindings: &[Binding]) -> String {
    let mut known = Known::default();
    let mut text =
        String::from("-- Made of the protos by `granary ingress config`.\nlocal CALLS = {\n");
    for binding in bindings {
        let place = match &binding.body {
            Body::Field(name) => format!("{name}."),
            Body::Nothing | Body::Everything => String::new(),
        };
        let message = binding.message();
        if let Some(message) = &message {
            known.describe(message);
        }
        let message = message.as_ref().map_or("", MessageDescriptor::full_name);
        let _ = writeln!(
            text,
            "  {{'{}', '{}', '{message}', '{place}', {{{}}}, {{{}}}}},",
            binding.verb,
            pattern(binding),
            named(binding),
            known.parameters(binding),
        );
    }
    text.push_str("}\n");
    known.write(&mut text);
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

/// What bodies and queries may say.
#[derive(Default)]
struct Known {
    /// By message and field, in both spellings: the kind of the field.
    fields: BTreeMap<String, BTreeMap<String, String>>,
    /// By enum: the names of its values, in their order.
    enums: BTreeMap<String, Vec<String>>,
}

impl Known {
    fn describe(&mut self, message: &MessageDescriptor) {
        if self.fields.contains_key(message.full_name()) {
            return;
        }
        self.fields
            .insert(message.full_name().to_owned(), BTreeMap::new());
        let mut known = BTreeMap::new();
        for field in message.fields() {
            let kind = self.kind(&field);
            // Both are right in the JSON form of protobuf.
            known.insert(field.json_name().to_owned(), kind.clone());
            known.insert(field.name().to_owned(), kind);
            if let Some(inner) = inside(&field) {
                self.describe(&inner);
            }
        }
        self.fields.insert(message.full_name().to_owned(), known);
    }

    fn kind(&mut self, field: &FieldDescriptor) -> String {
        let mark = if field.is_map() { "{}" } else { "" };
        if let Some(message) = inside(field) {
            return format!("{mark}{}", message.full_name());
        }
        match value_kind(field) {
            Kind::Enum(values) if is_ours(values.full_name()) => {
                format!("{mark}{}", self.choice(&values))
            }
            _ => String::new(),
        }
    }

    fn choice(&mut self, values: &EnumDescriptor) -> String {
        let name = values.full_name().to_owned();
        let all = values.values().map(|value| value.name().to_owned());
        self.enums
            .entry(name.clone())
            .or_insert_with(|| all.collect());
        format!("={name}")
    }

    /// The fields that the query may say.
    fn parameters(&mut self, binding: &Binding) -> String {
        let mut items = BTreeSet::new();
        for field in bindings::query(binding) {
            let kind = match field.kind() {
                Kind::Enum(values) => self.choice(&values),
                Kind::Bool => "?".into(),
                Kind::Int32 | Kind::Int64 => "#".into(),
                _ => String::new(),
            };
            for name in [field.name(), field.json_name()] {
                items.insert(format!("['{name}'] = '{kind}'"));
            }
        }
        items.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn write(self, text: &mut String) {
        text.push_str("local FIELDS = {\n");
        for (message, known) in self.fields {
            let _ = writeln!(text, "  ['{message}'] = {{");
            for (field, kind) in known {
                let _ = writeln!(text, "    ['{field}'] = '{kind}',");
            }
            text.push_str("  },\n");
        }
        text.push_str("}\nlocal ENUMS = {\n");
        for (name, values) in self.enums {
            let _ = writeln!(text, "  ['{name}'] = {{'{}'}},", values.join("', '"));
        }
        text.push_str("}\n\n");
    }
}

/// The kind of a field, or of the values of a map.
fn value_kind(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    }
}

/// The message in a field, or among the values of a map, if its fields are those of JSON.
fn inside(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let message = value_kind(field).as_message()?.clone();
    is_ours(message.full_name()).then_some(message)
}

// The well-known ones have forms of their own.
fn is_ours(name: &str) -> bool {
    !name.starts_with("google.")
}

#[cfg(test)]
mod tests {
    use super::{super::bindings, *};

    #[test]
    fn the_tables_know_calls_and_their_fields() {
        let script = script(&bindings::all().unwrap());
        for line in [
            "  {'POST', '^/v1/projects/[^/]+/datasets$', 'granary.metadata.v1.Dataset', 'dataset.', {['parent'] = true}, \
             {['datasetId'] = '', ['dataset_id'] = '', ['requestId'] = '', ['request_id'] = ''}},",
            "  {'GET', '^/v1/projects/[^/]+/jobs$', '', '', {['parent'] = true}, {['pageSize'] = '#', ['pageToken'] = '', \
             ['page_size'] = '#', ['page_token'] = '', ['state'] = '=granary.job.v1.JobState'}},",
            "  {'PATCH', '^/v1/projects/[^/]+/datasets/[^/:]+$', 'granary.metadata.v1.Dataset', 'dataset.', {['dataset.name'] = true}, \
             {['updateMask'] = '', ['update_mask'] = ''}},",
            "  {'POST', '^/v1/projects/[^/]+/jobs/[^/:]+:cancel$', 'granary.job.v1.CancelJobRequest', '', {['name'] = true}, {}},",
            "    ['kind'] = '=granary.metadata.v1.DatasetKind',",
            "  ['granary.metadata.v1.DatasetKind'] = {'DATASET_KIND_UNSPECIFIED', 'DATASET_KIND_RAW', 'DATASET_KIND_PROCESSED', \
             'DATASET_KIND_CONFIG', 'DATASET_KIND_ARTIFACT', 'DATASET_KIND_OUTPUT', 'DATASET_KIND_LOG'},",
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
