//! TOML.

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::collect::Collector;
use super::error::{Problem, SidecarError, excerpt};
use super::{Format, MAX_DEPTH};
use crate::value::Value;

pub(super) fn read(text: &str, collector: &mut Collector) -> Result<(), SidecarError> {
    refuse_long_keys(text)?;
    let table = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
    let reader = Reader { text };
    reader.table(table.get_ref(), collector)
}

/// Each dot of a key nests a table in the parser, which has no limit of its own for this: half a million of them
/// would exhaust the stack. Keys this long are refused before it sees them.
fn refuse_long_keys(text: &str) -> Result<(), SidecarError> {
    let mut dots = 0;
    for token in Source::new(text).lex() {
        match token.kind() {
            TokenKind::Dot => dots += 1,
            TokenKind::Atom
            | TokenKind::Whitespace
            | TokenKind::BasicString
            | TokenKind::LiteralString => {}
            _ => dots = 0,
        }
        // A few more than are allowed, so that the usual check names the key.
        if dots > 2 * MAX_DEPTH {
            let line = line_of(text, token.span().start());
            return Err(SidecarError::at(line, Problem::TooDeep));
        }
    }
    Ok(())
}

fn syntax(text: &str, error: &toml::de::Error) -> SidecarError {
    let span = error.span().unwrap_or(0..0);
    let line = line_of(text, span.start);
    let message = error.message().lines().next().unwrap_or("");
    let message = match message {
        "duplicate key" => format!("{message} {:?}", excerpt(text.get(span).unwrap_or(""))),
        message => message.to_owned(),
    };
    SidecarError::at(line, Problem::syntax(Format::Toml, message))
}

fn line_of(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>, collector: &mut Collector) -> Result<(), SidecarError> {
        for (key, value) in table {
            let taken = match value.get_ref() {
                DeValue::Table(inner) => match collector.enter(key.get_ref()) {
                    Ok(()) => {
                        self.table(inner, collector)?;
                        collector.leave();
                        Ok(())
                    }
                    Err(problem) => Err(problem),
                },
                DeValue::Array(items) => {
                    let items = items.iter().map(|item| self.json(item)).collect();
                    collector.put_list(key.get_ref(), items)
                }
                DeValue::String(text) => collector.put_quoted(key.get_ref(), text.to_string()),
                _ => collector.put(key.get_ref(), self.scalar(value)),
            };
            let line = || line_of(self.text, key.span().start);
            taken.map_err(|problem| SidecarError::at(line(), problem))?;
        }
        Ok(())
    }

    /// Strings are text; the rest is typed by how it was written, as in the other formats.
    fn scalar(&self, value: &Spanned<DeValue<'_>>) -> Value {
        let written = || self.text.get(value.span()).unwrap_or("").trim();
        match value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            // TOML also allows a blank for the T.
            DeValue::Datetime(_) => Value::infer(&written().replacen(' ', "T", 1)),
            DeValue::Integer(integer) if integer.radix() != 10 => {
                i64::from_str_radix(integer.as_str(), integer.radix())
                    .map_or_else(|_| Value::from(written()), |n| Value::infer(&n.to_string()))
            }
            _ => number(written()),
        }
    }

    /// Recursion is bounded by the parser's own limit on arrays and inline tables.
    fn json(&self, value: &Spanned<DeValue<'_>>) -> Json {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            DeValue::Table(table) => {
                let entries = table.iter();
                let entries =
                    entries.map(|(key, value)| (key.get_ref().to_string(), self.json(value)));
                Json::Object(entries.collect::<Map<_, _>>())
            }
            _ => match self.scalar(value) {
                Value::Text(text) => Json::String(text),
                Value::Timestamp(_) => Json::String(self.scalar(value).to_string()),
                other => serde_json::to_value(other).unwrap_or(Json::Null),
            },
        }
    }
}

/// A decimal number: TOML's leading `+` is dropped, and its `_` where it separates thousands. Elsewhere, as in
/// `20210229_161221`, a `_` makes an identifier.
fn number(written: &str) -> Value {
    let unsigned = written.strip_prefix('+').unwrap_or(written);
    let digits = unsigned.strip_prefix('-').unwrap_or(unsigned);
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or(digits);
    let mut groups = whole.split('_');
    let first = groups.next().unwrap_or("");
    let thousands = first.len() <= 3 && groups.all(|group| group.len() == 3);
    if !written.contains('_') {
        return Value::infer(unsigned);
    }
    if thousands {
        return Value::infer(&unsigned.replace('_', ""));
    }
    Value::from(written)
}
