//! Between wire types and the domain's: times, durations, typed values, error reports.

use std::{collections::BTreeMap, time::Duration};

use granary_core::{
    Error, Result,
    value::{Value, timestamp_from_parts},
};
use prost_types::Timestamp;
use time::OffsetDateTime;

use crate::metadata::v1::{Messages, Value as WireValue, value::Kind};

/// What is wrong, by field, in the order in which it was found.
pub type Report = BTreeMap<String, Vec<String>>;

/// A time on the wire.
pub fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or_default(),
    }
}

/// A time from the wire.
pub fn time(field: &str, timestamp: &Timestamp) -> Result<OffsetDateTime> {
    timestamp_from_parts(timestamp.seconds, timestamp.nanos).ok_or_else(|| {
        let expected =
            "expected a time from 0001-01-01 to 9999-12-31 with 0 to 999999999 nanoseconds";
        Error::invalid(field, expected)
    })
}

/// A duration on the wire.
pub fn wire_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

/// A duration from the wire, which must not be negative.
pub fn duration(field: &str, duration: prost_types::Duration) -> Result<Duration> {
    Duration::try_from(duration)
        .map_err(|_| Error::invalid(field, "expected a duration of 0 s or more"))
}

/// A typed value on the wire.
pub fn wire_value(value: Value) -> WireValue {
    WireValue {
        kind: Some(match value {
            Value::Number(number) => Kind::Number(number),
            Value::Text(text) => Kind::Text(text),
            Value::Boolean(boolean) => Kind::Boolean(boolean),
            Value::Timestamp(time) => Kind::Timestamp(timestamp(time)),
        }),
    }
}

/// A typed value from the wire.
pub fn value(field: &str, value: WireValue) -> Result<Value> {
    Ok(match value.kind {
        Some(Kind::Number(number)) if number.is_finite() => Value::Number(number),
        Some(Kind::Number(_)) => return Err(Error::invalid(field, "expected a finite number")),
        Some(Kind::Text(text)) if text.len() <= 16 * 1024 => Value::Text(text),
        Some(Kind::Text(_)) => {
            return Err(Error::invalid(field, "expected text of at most 16 KiB"));
        }
        Some(Kind::Boolean(boolean)) => Value::Boolean(boolean),
        Some(Kind::Timestamp(timestamp)) => Value::Timestamp(time(field, &timestamp)?),
        None => {
            return Err(Error::invalid(
                field,
                "expected one of number, text, boolean and timestamp",
            ));
        }
    })
}

/// Attributes on the wire.
pub fn wire_attributes(attributes: BTreeMap<String, Value>) -> BTreeMap<String, WireValue> {
    attributes
        .into_iter()
        .map(|(key, value)| (key, wire_value(value)))
        .collect()
}

/// Attributes from the wire: at most 1,000, their names of letters, digits, `_`, `-` and `.`.
pub fn attributes(
    field: &str,
    attributes: BTreeMap<String, WireValue>,
) -> Result<BTreeMap<String, Value>> {
    if attributes.len() > 1000 {
        return Err(Error::invalid(
            field,
            format!("expected at most 1000 attributes, got {}", attributes.len()),
        ));
    }
    attributes
        .into_iter()
        .map(|(key, wire)| {
            let ok = (1..=128).contains(&key.len())
                && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
            if !ok {
                return Err(Error::invalid(
                    field,
                    format!("expected names of 1 to 128 bytes of letters, digits, `_`, `-` and `.`, got {}", granary_core::name::quote(&key)),
                ));
            }
            let value = value(&format!("{field}[{key:?}]"), wire)?;
            Ok((key, value))
        })
        .collect()
}

/// An error report on the wire.
pub fn wire_report(report: Report) -> BTreeMap<String, Messages> {
    report
        .into_iter()
        .map(|(field, messages)| (field, Messages { messages }))
        .collect()
}

/// An error report from the wire.
pub fn report(report: BTreeMap<String, Messages>) -> Report {
    report
        .into_iter()
        .map(|(field, messages)| (field, messages.messages))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_round_trip() {
        for original in [
            Value::Number(-3.5),
            Value::Text("X2".into()),
            Value::Boolean(true),
            Value::Timestamp(OffsetDateTime::UNIX_EPOCH),
        ] {
            assert_eq!(value("v", wire_value(original.clone())).unwrap(), original);
        }
    }

    #[test]
    fn values_that_no_database_holds_are_refused() {
        assert!(
            value(
                "v",
                WireValue {
                    kind: Some(Kind::Number(f64::NAN))
                }
            )
            .is_err()
        );
        assert!(value("v", WireValue { kind: None }).is_err());
        for (seconds, nanos) in [(i64::MAX, 0), (253_402_300_800, 0), (0, -1)] {
            let kind = Some(Kind::Timestamp(Timestamp { seconds, nanos }));
            assert!(value("v", WireValue { kind }).is_err(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn odd_attribute_names_are_refused() {
        let one = |key: &str| BTreeMap::from([(key.to_owned(), wire_value(Value::Number(1.0)))]);
        assert!(attributes("a", one("sampling_rate.hz-1")).is_ok());
        assert!(attributes("a", one("a b")).is_err());
        assert!(attributes("a", one("")).is_err());
    }
}
