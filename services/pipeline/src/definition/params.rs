//! The parameters of a step: read one by one, each mistake noted with its path, unknown ones refused with the nearest name.

use std::{collections::BTreeMap, fmt::Display};

use granary_core::{Result, error::Violations, name::quote, suggest, units::parse_size};
use prost_types::{Struct, value::Kind};
use serde_json::Value as Json;

/// Reads `with` of one step. A wrong parameter counts as its default until [`Params::finish`] reports it.
#[derive(Debug)]
pub(crate) struct Params<'a> {
    /// What is given: a parameter without a value is not.
    fields: BTreeMap<&'a str, &'a Kind>,
    /// All names, also of those without a value.
    names: Vec<&'a str>,
    known: Vec<&'static str>,
    wrong: Violations,
}

impl<'a> Params<'a> {
    pub(crate) fn new(with: Option<&'a Struct>) -> Self {
        let all = || with.into_iter().flat_map(|with| &with.fields);
        let given = all().filter_map(|(name, value)| match value.kind.as_ref()? {
            Kind::NullValue(_) => None,
            kind => Some((name.as_str(), kind)),
        });
        Self {
            fields: given.collect(),
            names: all().map(|(name, _)| name.as_str()).collect(),
            known: Vec::new(),
            wrong: Violations::default(),
        }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Kind> {
        self.known.push(key);
        self.fields.get(key).copied()
    }

    fn wrong(&mut self, key: &str, expected: impl Display, got: &Kind) {
        self.wrong
            .add(key, format!("expected {expected}, got {}", shown(got)));
    }

    /// Notes that a parameter is wrong.
    pub(crate) fn refuse(&mut self, key: &str, description: impl Into<String>) {
        self.wrong.add(key, description);
    }

    /// A whole number of 1 or more.
    pub(crate) fn positive(&mut self, key: &'static str, most: u64) -> Option<u64> {
        let kind = self.get(key)?;
        match whole(kind).filter(|number| *number > 0) {
            Some(number) if number <= most => Some(number),
            Some(_) => {
                self.wrong(key, format_args!("at most {most}"), kind);
                None
            }
            None => {
                self.wrong(key, "a positive integer", kind);
                None
            }
        }
    }

    /// A positive number, also as `100M` or `8MiB`.
    pub(crate) fn size(&mut self, key: &'static str) -> Option<u64> {
        let kind = self.get(key)?;
        let size = match kind {
            Kind::StringValue(text) => parse_size(text).ok(),
            other => whole(other),
        };
        if size.is_none_or(|size| size == 0) {
            self.wrong(
                key,
                "a positive number such as 5000000, 100M or 64MiB",
                kind,
            );
            return None;
        }
        size
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let kind = self.get(key)?;
        let chosen = match kind {
            Kind::StringValue(text) => choices.iter().find(|(word, _)| word == text),
            _ => None,
        };
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.wrong(key, words.join(" or "), kind);
        }
        chosen.map(|(_, value)| *value)
    }

    /// A text that is not empty.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        let kind = self.get(key)?;
        match kind {
            Kind::StringValue(text) if !text.is_empty() => Some(text.clone()),
            other => {
                self.wrong(key, "a text", other);
                None
            }
        }
    }

    /// A list of 1 to 100 texts.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let kind = self.get(key)?;
        let texts = match kind {
            Kind::ListValue(list) if (1..=100).contains(&list.values.len()) => list
                .values
                .iter()
                .map(|value| match &value.kind {
                    Some(Kind::StringValue(text)) if !text.is_empty() => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if texts.is_none() {
            self.wrong(key, "a list of 1 to 100 texts", kind);
        }
        texts
    }

    /// An object, as JSON.
    pub(crate) fn object(&mut self, key: &'static str) -> Option<Json> {
        let kind = self.get(key)?;
        match kind {
            Kind::StructValue(_) => Some(json(Some(kind))),
            other => {
                self.wrong(key, "an object", other);
                None
            }
        }
    }

    /// Whether any parameter is given.
    pub(crate) fn has_any(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Notes that a parameter is missing.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) {
        if !self.fields.contains_key(key) {
            self.wrong
                .add(key, format!("is required, such as {example}"));
        }
    }

    /// Fails if a parameter was wrong, or is none of those that were asked for.
    pub(crate) fn finish(mut self) -> Result<()> {
        for key in self.names {
            if !self.known.contains(&key) {
                let hint = match self.known.as_slice() {
                    [] => "this step has no parameters".to_owned(),
                    known => suggest::did_you_mean(key, known.iter().copied()),
                };
                self.wrong
                    .add(key, format!("unknown parameter {}; {hint}", quote(key)));
            }
        }
        self.wrong.finish()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole and within what a double holds exactly"
)]
fn whole(kind: &Kind) -> Option<u64> {
    match kind {
        Kind::NumberValue(number)
            if number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(number) =>
        {
            Some(*number as u64)
        }
        _ => None,
    }
}

fn shown(kind: &Kind) -> String {
    match kind {
        Kind::StringValue(text) => quote(text),
        Kind::ListValue(list) if list.values.is_empty() => "an empty list".into(),
        Kind::ListValue(_) => "a list".into(),
        Kind::StructValue(_) => "an object".into(),
        other => json(Some(other)).to_string(),
    }
}

/// As JSON; whole numbers without a point, so that messages show them as they were written.
pub(super) fn json(kind: Option<&Kind>) -> Json {
    match kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(boolean)) => Json::Bool(*boolean),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::NumberValue(number)) => number_json(*number),
        Some(Kind::ListValue(list)) => list
            .values
            .iter()
            .map(|value| json(value.kind.as_ref()))
            .collect(),
        Some(Kind::StructValue(object)) => object
            .fields
            .iter()
            .map(|(key, value)| (key.clone(), json(value.kind.as_ref())))
            .collect(),
    }
}

/// A number as JSON, without a point if it is whole.
pub(crate) fn number_json(number: f64) -> Json {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and within what a double holds exactly"
    )]
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
        return Json::from(number as i64);
    }
    Json::from(number)
}
