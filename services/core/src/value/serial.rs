//! Values as JSON scalars: numbers, booleans, strings, and timestamps as RFC 3339 strings.
//!
//! A text that happens to read as a timestamp is written as `{"text": "..."}`, so that it is still a text when the
//! index is rebuilt from what was written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use super::{Value, number, parse_timestamp, timestamp};

/// The key of the long form of a text.
const TEXT: &str = "text";

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serialize_number(*number, serializer),
            Self::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Self::Timestamp(instant) => serializer.serialize_str(&timestamp::format(*instant)),
            Self::Text(text) if parse_timestamp(text).is_some() => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(TEXT, text)?;
                map.end()
            }
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

fn serialize_number<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    match number::as_integer(number) {
        Some(integer) => serializer.serialize_i64(integer),
        None if number.is_finite() => serializer.serialize_f64(number),
        None => Err(S::Error::custom("a number must be finite")),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, true, false or an RFC 3339 timestamp")
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Value, E> {
        Ok(Value::Boolean(boolean))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "attributes are f64 by definition"
    )]
    fn visit_i64<E>(self, integer: i64) -> Result<Value, E> {
        Ok(Value::Number(integer as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "attributes are f64 by definition"
    )]
    fn visit_u64<E>(self, integer: u64) -> Result<Value, E> {
        Ok(Value::Number(integer as f64))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        if number.is_finite() {
            Ok(Value::Number(number))
        } else {
            Err(E::custom("a number must be finite"))
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(parse_timestamp(text).map_or_else(|| Value::Text(text.to_owned()), Value::Timestamp))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let entry: Option<(String, String)> = map.next_entry()?;
        match entry {
            Some((key, text)) if key == TEXT => match map.next_key::<String>()? {
                None => Ok(Value::Text(text)),
                Some(key) => Err(A::Error::unknown_field(&key, &[TEXT])),
            },
            _ => Err(A::Error::missing_field(TEXT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &Value) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn values_are_json_scalars() {
        assert_eq!(json(&Value::Number(3.0)), "3");
        assert_eq!(json(&Value::Number(0.5)), "0.5");
        assert_eq!(json(&Value::from("X2")), r#""X2""#);
        assert_eq!(json(&Value::Boolean(false)), "false");
        assert_eq!(
            json(&Value::infer("2021-02-28T16:12:21Z")),
            r#""2021-02-28T16:12:21Z""#
        );
    }

    #[test]
    fn every_value_comes_back_as_it_was() {
        for value in [
            Value::Number(3.0),
            Value::Number(-1e300),
            Value::Number(0.1),
            Value::from(""),
            Value::from("3"),
            Value::from("true"),
            Value::from("2021-02-28T16:12:21Z"),
            Value::infer("2021-02-28T16:12:21.000000001+05:30"),
            Value::Boolean(true),
        ] {
            let back: Value = serde_json::from_str(&json(&value)).unwrap();
            assert_eq!(back, value);
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for written in [
            "null",
            "[1]",
            "{}",
            r#"{"text":1}"#,
            r#"{"text":"a","b":"c"}"#,
        ] {
            assert!(serde_json::from_str::<Value>(written).is_err(), "{written}");
        }
        assert!(serde_json::to_string(&Value::Number(f64::NAN)).is_err());
    }
}
