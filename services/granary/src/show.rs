//! What several nouns show alike: attributes and error reports.

use std::collections::BTreeMap;

use granary_proto::{
    convert,
    metadata::v1::{Messages, Value},
};

use crate::output::Table;

/// A typed value as people write it.
pub(crate) fn value(value: &Value) -> String {
    convert::value("", value.clone())
        .map(|value| value.to_string())
        .unwrap_or_default()
}

/// A field for each attribute.
pub(crate) fn attributes(table: Table, attributes: &BTreeMap<String, Value>) -> Table {
    attributes.iter().fold(table, |table, (name, one)| {
        table.field(&format!("attributes.{name}"), value(one))
    })
}

/// A field for each wrong field.
pub(crate) fn errors(table: Table, errors: &BTreeMap<String, Messages>) -> Table {
    errors.iter().fold(table, |table, (field, messages)| {
        table.field(&format!("errors.{field}"), messages.messages.join("; "))
    })
}

/// The lines of an error report: `FIELD: MESSAGE`.
pub(crate) fn report(errors: &BTreeMap<String, Messages>) -> Vec<String> {
    let lines = |(field, messages): (&String, &Messages)| -> Vec<String> {
        messages
            .messages
            .iter()
            .map(|message| crate::human::shown(&format!("{field}: {message}")))
            .collect()
    };
    errors.iter().flat_map(lines).collect()
}
