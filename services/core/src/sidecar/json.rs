//! JSON, read as a stream: nothing is kept but what is taken.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::Format;
use super::collect::Collector;
use super::error::{Problem, SidecarError};
use crate::value::{Value, parse_timestamp};

pub(super) fn read(text: &str, collector: &mut Collector) -> Result<(), SidecarError> {
    let mut reader = Reader {
        collector,
        problem: None,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = json
        .deserialize_map(Members(&mut reader))
        .and_then(|()| json.end());
    read.map_err(|error| {
        let problem = reader
            .problem
            .unwrap_or_else(|| Problem::syntax(Format::Json, message(&error)));
        SidecarError::at(error.line().max(1), problem)
    })
}

/// The error without its place, which is told in our own words.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(bare) => format!("column {}: {bare}", error.column()),
        None => text,
    }
}

struct Reader<'c> {
    collector: &'c mut Collector,
    /// Our own error, which serde can only carry as text.
    problem: Option<Problem>,
}

impl Reader<'_> {
    fn keep<E: serde::de::Error>(&mut self, taken: Result<(), Problem>) -> Result<(), E> {
        taken.map_err(|problem| {
            self.problem = Some(problem);
            E::custom("refused")
        })
    }

    fn members<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Member { key, reader: self })?;
        }
        Ok(())
    }
}

/// The members of the top level.
struct Members<'r, 'c>(&'r mut Reader<'c>);

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.members(map)
    }
}

/// The value of one key.
struct Member<'r, 'c> {
    key: String,
    reader: &'r mut Reader<'c>,
}

impl Member<'_, '_> {
    fn put<E: serde::de::Error>(self, value: Value) -> Result<(), E> {
        let taken = self.reader.collector.put(&self.key, value);
        self.reader.keep(taken)
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, boolean: bool) -> Result<(), E> {
        self.put(Value::Boolean(boolean))
    }

    fn visit_i64<E: serde::de::Error>(self, integer: i64) -> Result<(), E> {
        // Integers are typed by their digits, so that a long identifier keeps all of them.
        self.put(Value::infer(&integer.to_string()))
    }

    fn visit_u64<E: serde::de::Error>(self, integer: u64) -> Result<(), E> {
        self.put(Value::infer(&integer.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.put(Value::Number(number + 0.0))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if let Some(instant) = parse_timestamp(text) {
            return self.put(Value::Timestamp(instant));
        }
        let taken = self.reader.collector.put_quoted(&self.key, text.to_owned());
        self.reader.keep(taken)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut items: Vec<Json> = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        let taken = self.reader.collector.put_list(&self.key, items);
        self.reader.keep(taken)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let entered = self.reader.collector.enter(&self.key);
        self.reader.keep::<A::Error>(entered)?;
        self.reader.members(map)?;
        self.reader.collector.leave();
        Ok(())
    }
}
