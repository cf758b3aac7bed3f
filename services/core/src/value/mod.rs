//! Typed values of attributes, and how text without quotes gets its type.
//!
//! One rule types unquoted text everywhere: in metadata files, in filters, and in `--attribute key=value`. What a
//! person wrote in a file is therefore found by writing the same in a filter.

mod number;
mod serial;
mod timestamp;

use std::fmt;

use time::OffsetDateTime;

pub use timestamp::{parse_timestamp, parse_timestamp_or_date, timestamp_from_parts};

/// A typed value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A finite number. Integers are exact up to 2^53.
    Number(f64),
    Text(String),
    Boolean(bool),
    /// An instant; two of them are equal when the instants are, whatever their offsets.
    Timestamp(OffsetDateTime),
}

impl Value {
    /// Types `text` that stood without quotes: `true` and `false`, numbers, RFC 3339 timestamps with a zone, else text.
    ///
    /// What would lose something as a number stays text: leading zeros (`007`), a leading `+`, digit separators
    /// (`20210229_161221`), integers beyond 2^53, `nan` and `inf`.
    #[must_use]
    pub fn infer(text: &str) -> Self {
        match text {
            "true" => return Self::Boolean(true),
            "false" => return Self::Boolean(false),
            _ => {}
        }
        if let Some(number) = number::parse(text) {
            return Self::Number(number);
        }
        match parse_timestamp(text) {
            Some(instant) => Self::Timestamp(instant),
            None => Self::Text(text.to_owned()),
        }
    }

    /// Which of the four types it is.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Number(_) => ValueKind::Number,
            Self::Text(_) => ValueKind::Text,
            Self::Boolean(_) => ValueKind::Boolean,
            Self::Timestamp(_) => ValueKind::Timestamp,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, if it is text: other types are not converted.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The instant, if it is one.
    #[must_use]
    pub fn as_timestamp(&self) -> Option<OffsetDateTime> {
        match self {
            Self::Timestamp(instant) => Some(*instant),
            _ => None,
        }
    }
}

/// As a person would write it: text without quotes, whole numbers without a point, timestamps in RFC 3339.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number::write(*number, f),
            Self::Text(text) => f.write_str(text),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::Timestamp(instant) => f.write_str(&timestamp::format(*instant)),
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl From<OffsetDateTime> for Value {
    fn from(instant: OffsetDateTime) -> Self {
        Self::Timestamp(instant)
    }
}

/// The type of a [`Value`], for messages: `expected a number, got text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueKind {
    Number,
    Text,
    Boolean,
    Timestamp,
}

impl ValueKind {
    /// Lower-case name without an article.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(expected: &str) {
        assert_eq!(Value::infer(expected), Value::Text(expected.to_owned()));
    }

    #[test]
    fn numbers_are_numbers_in_every_usual_spelling() {
        for (written, number) in [
            ("0", 0.0),
            ("42", 42.0),
            ("-7", -7.0),
            ("3.25", 3.25),
            (".5", 0.5),
            ("0.007", 0.007),
            ("1e3", 1000.0),
            ("-2.5E-3", -0.0025),
            ("1e+2", 100.0),
            ("9007199254740992", 9_007_199_254_740_992.0),
        ] {
            assert_eq!(Value::infer(written), Value::Number(number), "{written}");
        }
        assert_eq!(Value::infer("-0").to_string(), "0");
    }

    #[test]
    fn what_would_lose_something_as_a_number_stays_text() {
        for written in [
            "007",
            "-007",
            "00",
            "20210229_161221",
            "1_000",
            "9007199254740993",
            "12345678901234567890",
            "+33123456789",
            "nan",
            "NaN",
            "inf",
            "-inf",
            "Infinity",
            "1e999",
            "0x1F",
            "1.",
            ".",
            "-",
            "",
            "e5",
            "1e",
            "1e+",
            "1 2",
            "1,5",
            "1.2.3",
            "\u{0663}",
        ] {
            text(written);
        }
    }

    #[test]
    fn only_true_and_false_are_booleans() {
        assert_eq!(Value::infer("true"), Value::Boolean(true));
        assert_eq!(Value::infer("false"), Value::Boolean(false));
        for written in ["True", "yes", "no", "on", "off", "TRUE"] {
            text(written);
        }
    }

    #[test]
    fn timestamps_need_a_zone() {
        let value = Value::infer("2021-02-28T16:12:21.5+02:00");
        assert_eq!(value.kind(), ValueKind::Timestamp);
        assert_eq!(value, Value::infer("2021-02-28T14:12:21.5Z"));
        assert_eq!(value.to_string(), "2021-02-28T16:12:21.5+02:00");
        for written in [
            "2021-02-28T16:12:21",
            "2021-02-28",
            "2021-02-29T16:12:21Z",
            "2021-02-28 16:12:21Z",
        ] {
            text(written);
        }
    }

    #[test]
    fn display_is_read_back_as_the_same_value() {
        for number in [
            0.0,
            -1.0,
            0.1,
            1e15,
            1e16,
            1e300,
            5e-324,
            f64::MAX,
            123_456.789,
        ] {
            let value = Value::Number(number);
            assert_eq!(Value::infer(&value.to_string()), value, "{value}");
        }
        assert_eq!(Value::Number(3.0).to_string(), "3");
        assert_eq!(Value::Number(1e300).to_string(), "1e300");
        assert_eq!(Value::Boolean(true).to_string(), "true");
    }

    #[test]
    fn accessors_do_not_convert() {
        assert_eq!(Value::from("3").as_number(), None);
        assert_eq!(Value::from(3.0).as_number(), Some(3.0));
        assert_eq!(Value::from(3.0).as_text(), None);
        assert_eq!(Value::from(true).as_boolean(), Some(true));
        assert_eq!(Value::from("x").as_timestamp(), None);
        assert_eq!(ValueKind::Timestamp.to_string(), "timestamp");
    }
}
