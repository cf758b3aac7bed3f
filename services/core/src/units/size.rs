//! Sizes and large counts: `100M`, `256MiB`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::UnitError;
use super::decimal::Decimal;

const EXPECTED: &str = "a size such as 4096, 100M, 1.5GB or 256MiB";

/// Largest first; the decimal ones are powers of 1000, the others of 1024.
const UNITS: [(&str, u64); 12] = [
    ("EiB", 1 << 60),
    ("E", 1_000_000_000_000_000_000),
    ("PiB", 1 << 50),
    ("P", 1_000_000_000_000_000),
    ("TiB", 1 << 40),
    ("T", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("G", 1_000_000_000),
    ("MiB", 1 << 20),
    ("M", 1_000_000),
    ("KiB", 1 << 10),
    ("k", 1_000),
];

/// Reads a size in bytes, or a large count (pixels): a number with an optional unit.
///
/// `k M G T P E` (also `kB`, `MB`, ...) are powers of 1000; `Ki Mi Gi Ti Pi Ei` (also `KiB`, ...) of 1024; upper and
/// lower case are the same. A fraction must come out whole: `1.5k` is 1500.
///
/// # Errors
/// Says which form was expected, or that the size is beyond 2^64 - 1.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    let form = || UnitError::Form {
        expected: EXPECTED,
        got: text.to_owned(),
    };
    let (number, unit) = Decimal::split(text).ok_or_else(form)?;
    let unit = unit.trim_start();
    let factor = factor(unit).ok_or_else(|| UnitError::Unit {
        expected: EXPECTED,
        unit: unit.to_owned(),
        got: text.to_owned(),
    })?;
    match number.times(factor) {
        Ok(Some(size)) => Ok(size),
        Ok(None) => Err(UnitError::TooLarge {
            got: text.to_owned(),
            max: "15.9EiB",
        }),
        Err(_) => Err(UnitError::Fraction {
            got: text.to_owned(),
            of: "bytes",
        }),
    }
}

fn factor(unit: &str) -> Option<u64> {
    let lower = unit.to_ascii_lowercase();
    let prefix = lower.strip_suffix('b').unwrap_or(&lower);
    if prefix.is_empty() {
        return Some(1);
    }
    UNITS
        .iter()
        .find(|(name, _)| name.to_ascii_lowercase().trim_end_matches('b') == prefix)
        .map(|(_, factor)| *factor)
}

/// Writes a size exactly, in the largest unit that divides it: [`parse_size`] reads it back.
#[must_use]
pub fn format_size(size: u64) -> String {
    let fits = |factor: u64| size >= factor && size.is_multiple_of(factor);
    match UNITS.iter().find(|(_, factor)| fits(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", size / factor),
        None => size.to_string(),
    }
}

/// Writes bytes for people, rounded to one digit: `600.0 MB`. Not to be read back.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rounded to one digit anyway")]
pub fn human_bytes(bytes: u64) -> String {
    // A size that rounds to 1000 of a unit is shown in the next one.
    const STEP: f64 = 999.95;
    let mut size = bytes as f64;
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if size < STEP {
            break;
        }
        size /= 1000.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}

/// A size in configuration: read from a number or a text such as `256MiB`, written as the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_size(self.0))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_size(text).map(Self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E>(self, size: u64) -> Result<Size, E> {
        Ok(Size(size))
    }

    fn visit_i64<E: serde::de::Error>(self, size: i64) -> Result<Size, E> {
        u64::try_from(size)
            .map(Size)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(size), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_decimal_and_binary_units() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("100M", 100_000_000),
            ("256MiB", 256 << 20),
            ("8Gi", 8 << 30),
            ("64k", 64_000),
            ("64K", 64_000),
            ("64KB", 64_000),
            ("1.5k", 1500),
            ("1.1GB", 1_100_000_000),
            ("0.5KiB", 512),
            (" 12 MB ", 12_000_000),
            ("10b", 10),
            ("3ti", 3 << 40),
            ("15EiB", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
    }

    #[test]
    fn errors_say_the_expected_form() {
        let message = |text: &str| parse_size(text).unwrap_err().to_string();
        assert_eq!(
            message("big"),
            r#"expected a size such as 4096, 100M, 1.5GB or 256MiB, got "big""#
        );
        assert_eq!(
            message(""),
            "expected a size such as 4096, 100M, 1.5GB or 256MiB, got nothing"
        );
        assert_eq!(
            message("3x"),
            r#"unknown unit "x" in "3x": expected a size such as 4096, 100M, 1.5GB or 256MiB"#
        );
        assert_eq!(message("16EiB"), r#""16EiB" is too large: at most 15.9EiB"#);
        assert_eq!(
            message("1.0001k"),
            r#""1.0001k" is not a whole number of bytes"#
        );
        assert!(message("-5M").starts_with("expected a size"));
    }

    #[test]
    fn exact_form_is_read_back() {
        for (size, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1k"),
            (1024, "1KiB"),
            (100_000_000, "100M"),
            (256 << 20, "256MiB"),
            (1500, "1500"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(format_size(size), text);
            assert_eq!(parse_size(text), Ok(size));
        }
    }

    #[test]
    fn people_read_one_digit() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(1500), "1.5 kB");
        assert_eq!(human_bytes(600_000_000), "600.0 MB");
        assert_eq!(human_bytes(999_999), "1.0 MB");
        assert_eq!(human_bytes(u64::MAX), "18.4 EB");
    }

    #[test]
    fn configuration_takes_numbers_and_texts() {
        let sizes: Vec<Size> = serde_json::from_str(r#"[512, "256MiB"]"#).unwrap();
        assert_eq!(sizes, [Size(512), Size(256 << 20)]);
        assert_eq!(
            serde_json::to_string(&sizes).unwrap(),
            r#"["512","256MiB"]"#
        );
        for wrong in ["-1", r#""big""#, "1.5", "true"] {
            assert!(serde_json::from_str::<Size>(wrong).is_err(), "{wrong}");
        }
    }
}
