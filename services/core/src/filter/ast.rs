//! What a filter says, independent of how it was written.

use std::borrow::Cow;

use time::OffsetDateTime;

use crate::sidecar::attribute_key;
use crate::value::parse_timestamp_or_date;

/// A filter. Equality ignores columns and spelling: `a=1` equals `(a = 1)`.
///
/// From [`parse`](super::parse()) an `And` or `Or` has two parts or more and none of its own kind, and `True` stands
/// alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare {
        field: Field,
        op: Op,
        value: Literal,
    },
    /// The empty filter: all match.
    #[default]
    True,
}

impl Filter {
    /// All comparisons, from left to right.
    #[must_use]
    pub fn comparisons(&self) -> Vec<(&Field, Op, &Literal)> {
        let mut found = Vec::new();
        // Own stack, last in first out: the parts are pushed in reverse to come out from left to right.
        let mut open = vec![self];
        while let Some(filter) = open.pop() {
            match filter {
                Self::And(parts) | Self::Or(parts) => open.extend(parts.iter().rev()),
                Self::Not(inner) => open.push(inner),
                Self::Compare { field, op, value } => found.push((field, *op, value)),
                Self::True => {}
            }
        }
        found
    }
}

/// A dotted field: `attributes."hardware model"` is `["attributes", "hardware model"]`.
#[derive(Debug, Clone, Eq)]
pub struct Field {
    /// At least one part; from the parser none is empty. In Unicode's composed form (NFC), as attribute keys are.
    pub path: Vec<String>,
    /// Where it stands, counted in characters from 1.
    pub column: usize,
}

impl Field {
    /// The attribute key below `parent` that the field means, `None` if it is not below it:
    /// `attributes."hardware model"` below `attributes` is `hardware_model`, as metadata files have it.
    #[must_use]
    pub fn below(&self, parent: &str) -> Option<String> {
        let parents = parent.split('.').count();
        let (start, rest) = self.path.split_at_checked(parents)?;
        if rest.is_empty() || parent.split('.').zip(start).any(|(a, b)| a != b) {
            return None;
        }
        Some(key_of(&rest.join(".")))
    }

    /// The path to look a value up by: below `attributes` the key is one part, as metadata files have it.
    pub(super) fn lookup_path(&self) -> Cow<'_, [String]> {
        let map = self.path.iter().position(|part| part == "attributes");
        let Some((parents, key)) = map.and_then(|map| self.path.split_at_checked(map + 1)) else {
            return Cow::Borrowed(&self.path);
        };
        if key.is_empty() {
            return Cow::Borrowed(&self.path);
        }
        let mut path = parents.to_vec();
        path.push(key_of(&key.join(".")));
        Cow::Owned(path)
    }
}

/// The attribute key that is meant by what was written; what cannot be a key is nobody's and stays as it is.
fn key_of(written: &str) -> String {
    attribute_key(written).unwrap_or_else(|_| written.to_owned())
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// `:`, the has operator.
    Has,
}

impl Op {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Has => ":",
        }
    }

    /// Whether it asks for an order: `< <= > >=`.
    #[must_use]
    pub fn is_ordering(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }
}

/// The value of a comparison.
#[derive(Debug, Clone)]
pub struct Literal {
    pub kind: LiteralKind,
    /// The value as it was written, without quotes and escapes: what a field that is always text compares with, so
    /// that `name = 20210229` works without quotes.
    pub text: String,
    /// Where it stands, counted in characters from 1.
    pub column: usize,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Literal {
    /// The attribute key that it names after the has operator: `attributes:"hardware model"` asks for `hardware_model`.
    #[must_use]
    pub fn key(&self) -> String {
        key_of(&self.text)
    }

    /// The value as an instant: a timestamp with or without quotes, or a day (`2021-02-28`, its start in UTC).
    #[must_use]
    pub fn timestamp(&self) -> Option<OffsetDateTime> {
        match &self.kind {
            LiteralKind::Timestamp(instant) => Some(*instant),
            LiteralKind::Text(text) => parse_timestamp_or_date(text),
            _ => None,
        }
    }
}

/// The type of a literal. Quoted ones are text or patterns; the others are typed as in metadata files.
#[derive(Debug, Clone, PartialEq)]
pub enum LiteralKind {
    Number(f64),
    Text(String),
    Boolean(bool),
    Timestamp(OffsetDateTime),
    /// Only with `=`, `!=`, and as `*` alone with `:`.
    Pattern(Pattern),
}

impl LiteralKind {
    /// Lower-case name for messages.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Number(_) => "number",
            Self::Text(_) | Self::Pattern(_) => "text",
            Self::Boolean(_) => "boolean",
            Self::Timestamp(_) => "timestamp",
        }
    }
}

/// A text with `*` at its start, its end or both: `image/*` is `{ text: "image/", open_end: true, .. }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub text: String,
    pub open_start: bool,
    pub open_end: bool,
}

impl Pattern {
    /// `*` alone: any value, of any type.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether `text` fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match (self.open_start, self.open_end) {
            (true, true) => text.contains(&self.text),
            (true, false) => text.ends_with(&self.text),
            (false, true) => text.starts_with(&self.text),
            (false, false) => text == self.text,
        }
    }
}
