//! Durations: `250ms`, `5s`, `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::UnitError;
use super::decimal::Decimal;

const EXPECTED: &str = "a duration such as 250ms, 5s, 10m, 1h30m or 7d";

/// Largest first, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration: numbers each with a unit of `d h m s ms us ns`, added up. `0` needs no unit.
///
/// # Errors
/// Says which form was expected: a number alone is refused, as seconds and milliseconds are too easily mixed up.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let text = text.trim();
    let mut rest = text;
    let mut total: u64 = 0;
    loop {
        let (number, after) = Decimal::split(rest).ok_or_else(|| UnitError::Form {
            expected: EXPECTED,
            got: text.to_owned(),
        })?;
        let (unit, after) = split_unit(after.trim_start());
        if unit.is_empty() && number.is_zero() && after.is_empty() {
            return Ok(Duration::from_nanos(total));
        }
        let part = nanoseconds(number, unit, text)?;
        total = total.checked_add(part).ok_or_else(|| too_large(text))?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(Duration::from_nanos(total));
        }
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn nanoseconds(number: Decimal, unit: &str, text: &str) -> Result<u64, UnitError> {
    if unit.is_empty() {
        return Err(UnitError::NoUnit {
            expected: EXPECTED,
            got: text.to_owned(),
        });
    }
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, factor) = known.ok_or_else(|| UnitError::Unit {
        expected: EXPECTED,
        unit: unit.to_owned(),
        got: text.to_owned(),
    })?;
    match number.times(*factor) {
        Ok(part) => part.ok_or_else(|| too_large(text)),
        Err(_) => Err(UnitError::Fraction {
            got: text.to_owned(),
            of: "nanoseconds",
        }),
    }
}

fn too_large(text: &str) -> UnitError {
    UnitError::TooLarge {
        got: text.to_owned(),
        max: "213503d",
    }
}

/// Writes a duration exactly: `1h30m`, `1s500ms`. [`parse_duration`] reads it back up to 584 years.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let count = rest / u128::from(factor);
        rest %= u128::from(factor);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// A duration in configuration: read from a text such as `10m`, written likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_duration(text).map(Self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_and_sums() {
        for (text, nanos) in [
            ("5s", 5_000_000_000),
            ("10m", 600_000_000_000),
            ("1h", 3_600_000_000_000),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1h 30m", 5_400_000_000_000),
            ("7d", 604_800_000_000_000),
            ("20 s", 20_000_000_000),
            ("3us5ns", 3_005),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_nanos(nanos)),
                "{text}"
            );
        }
    }

    #[test]
    fn errors_say_the_expected_form() {
        let message = |text: &str| parse_duration(text).unwrap_err().to_string();
        assert_eq!(
            message("soon"),
            r#"expected a duration such as 250ms, 5s, 10m, 1h30m or 7d, got "soon""#
        );
        assert_eq!(
            message("90"),
            "90 has no unit: expected a duration such as 250ms, 5s, 10m, 1h30m or 7d"
        );
        assert!(message("5 minutes").starts_with(r#"unknown unit "minutes" in "5 minutes""#));
        assert!(message("-5s").starts_with("expected a duration"));
        assert!(message("1h-5s").starts_with("unknown unit"));
        assert!(message("").ends_with("got nothing"));
        assert!(message("0.1ns").ends_with("not a whole number of nanoseconds"));
        assert!(message("999999d").ends_with("is too large: at most 213503d"));
        assert!(message("213503d213503d").contains("too large"));
    }

    #[test]
    fn exact_form_is_read_back() {
        for (nanos, text) in [
            (0, "0s"),
            (5_400_000_000_000, "1h30m"),
            (1_500_000_000, "1s500ms"),
            (1, "1ns"),
            (600_000_000_000, "10m"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(format_duration(duration), text);
            assert_eq!(parse_duration(text), Ok(duration));
        }
    }

    #[test]
    fn configuration_takes_texts_with_units_only() {
        let spans: Vec<Span> = serde_json::from_str(r#"["5s", "1h"]"#).unwrap();
        assert_eq!(serde_json::to_string(&spans).unwrap(), r#"["5s","1h"]"#);
        assert!(serde_json::from_str::<Span>("5").is_err());
        assert!(serde_json::from_str::<Span>(r#""5""#).is_err());
    }
}
