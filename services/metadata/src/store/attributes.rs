//! The index of attributes.

use std::collections::BTreeMap;

use granary_core::{
    Error, Result,
    clock::{from_micros, to_micros},
    value::Value,
};
use granary_proto::{convert, metadata::v1::Value as WireValue};
use granary_runtime::db::sql::{insert, values};
use sea_orm::ConnectionTrait;
use unicode_normalization::UnicodeNormalization as _;

use super::json;

/// Typed attributes by name.
pub(crate) type Attributes = BTreeMap<String, Value>;

/// The most attributes of one thing.
const MOST: usize = 1000;
/// How much of a text the index holds, in characters.
const HEAD: usize = 64;

/// One attribute of one thing: a session or an asset of a dataset of a project.
pub(crate) struct Entry<'a> {
    pub project: &'a str,
    pub dataset: &'a str,
    pub id: &'a str,
    pub key: &'a str,
    pub value: &'a Value,
}

/// Attributes as they are stored: names composed, so that each has one spelling, and times in microseconds.
pub(crate) fn parse(field: &str, wire: BTreeMap<String, WireValue>) -> Result<Attributes> {
    let mut attributes = Attributes::new();
    for (key, value) in convert::attributes(field, wire)? {
        let value = match value {
            Value::Text(text) => {
                crate::check::no_nul(&format!("{field}[{key:?}]"), &text)?;
                Value::Text(text)
            }
            Value::Timestamp(time) => Value::Timestamp(from_micros(to_micros(time))),
            other => other,
        };
        let key = if key.is_ascii() {
            key
        } else {
            key.nfc().collect()
        };
        if let Some(twin) = attributes.insert(key.clone(), value) {
            return Err(Error::invalid(
                field,
                format!("{key:?} is there twice, in two spellings of Unicode; one says {twin}"),
            ));
        }
    }
    json::encode(field, &attributes)?;
    Ok(attributes)
}

/// Adds attributes to those that are there, if all of them together are not too many. Before anything is written: what is too large fails alone.
pub(crate) fn merge(field: &str, there: &mut Attributes, new: Attributes) -> Result<()> {
    there.extend(new);
    if there.len() > MOST {
        return Err(Error::invalid(
            field,
            format!("expected at most {MOST} attributes together with those that are there"),
        ));
    }
    json::encode(field, there).map(drop)
}

/// The start of a text, as the index holds it.
pub(crate) fn head(text: &str) -> &str {
    text.char_indices()
        .nth(HEAD)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

/// Indexes attributes of sessions.
pub(crate) async fn index_sessions(tx: &impl ConnectionTrait, entries: &[Entry<'_>]) -> Result<()> {
    let insertion = "INSERT INTO session_attributes (project, dataset, session, key, number, head, text, boolean, time) VALUES ";
    let replacing = " ON CONFLICT (project, dataset, session, key) DO UPDATE SET number = excluded.number, head = excluded.head, \
         text = excluded.text, boolean = excluded.boolean, time = excluded.time";
    insert(tx, insertion, entries, columns, replacing).await
}

/// Indexes attributes of assets.
pub(crate) async fn index_assets(tx: &impl ConnectionTrait, entries: &[Entry<'_>]) -> Result<()> {
    let insertion = "INSERT INTO asset_attributes (project, dataset, asset, key, number, head, text, boolean, time) VALUES ";
    let replacing = " ON CONFLICT (project, dataset, asset, key) DO UPDATE SET number = excluded.number, head = excluded.head, \
         text = excluded.text, boolean = excluded.boolean, time = excluded.time";
    insert(tx, insertion, entries, columns, replacing).await
}

fn columns(entry: &Entry<'_>) -> [sea_orm::Value; 9] {
    let text = entry.value.as_text();
    values![
        entry.project,
        entry.dataset,
        entry.id,
        entry.key,
        entry.value.as_number(),
        text.map(|text| head(text).to_owned()),
        text.map(str::to_owned),
        entry.value.as_boolean(),
        entry.value.as_timestamp().map(to_micros),
    ]
}
