//! Filters on values in memory.

use std::cmp::Ordering;

use super::ast::{Field, Filter, Literal, LiteralKind, Op};
use super::error::FilterError;
use crate::value::Value;

/// Whether what `lookup` tells matches.
///
/// `lookup` answers a field's path with its value, `None` where there is none. A missing field makes any comparison
/// false. Numbers compare with numbers, texts with texts byte by byte, timestamps as instants. An attribute (a field
/// below `attributes`) of another type than the literal makes the comparison false.
///
/// # Errors
/// A field that is not an attribute has one type, so a literal of another type is an error at its column. Of `AND`
/// and `OR` the parts after the deciding one are not looked at.
pub fn eval(
    filter: &Filter,
    lookup: &dyn Fn(&[String]) -> Option<Value>,
) -> Result<bool, FilterError> {
    match filter {
        Filter::True => Ok(true),
        Filter::Not(inner) => Ok(!eval(inner, lookup)?),
        Filter::And(parts) => {
            for part in parts {
                if !eval(part, lookup)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Filter::Or(parts) => {
            for part in parts {
                if eval(part, lookup)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Filter::Compare { field, op, value } => match lookup(&field.lookup_path()) {
            Some(found) => compare(&found, field, *op, value),
            None => Ok(*op == Op::Has && has_key(field, value, lookup)),
        },
    }
}

/// `attributes:fatigue` asks whether the map `attributes` has the key `fatigue`.
fn has_key(field: &Field, key: &Literal, lookup: &dyn Fn(&[String]) -> Option<Value>) -> bool {
    if matches!(key.kind, LiteralKind::Pattern(_)) {
        return false;
    }
    let mut path = field.path.clone();
    path.push(key.key());
    lookup(&path).is_some()
}

fn compare(found: &Value, field: &Field, op: Op, literal: &Literal) -> Result<bool, FilterError> {
    if let LiteralKind::Pattern(pattern) = &literal.kind {
        if pattern.is_any() {
            return Ok(op != Op::Ne);
        }
        if let Value::Text(text) = found {
            return Ok(pattern.matches(text) == (op == Op::Eq));
        }
    }
    let attribute = is_attribute(field);
    let order = match (found, &literal.kind) {
        (Value::Number(a), LiteralKind::Number(b)) => a.partial_cmp(b),
        (Value::Boolean(a), LiteralKind::Boolean(b)) => Some(a.cmp(b)),
        (Value::Text(a), LiteralKind::Text(b)) if op == Op::Has => {
            return Ok(a.contains(b.as_str()));
        }
        (Value::Text(a), LiteralKind::Text(b)) => Some(a.cmp(b)),
        // A name such as 20210229 needs no quotes, as names are never numbers.
        (Value::Text(a), _) if !attribute => Some(a.as_str().cmp(literal.text.as_str())),
        (Value::Timestamp(a), _) => literal.timestamp().map(|b| a.cmp(&b)),
        _ => None,
    };
    match order {
        Some(order) => Ok(holds(order, op)),
        None if attribute => Ok(false),
        None => Err(mismatch(found, field, literal)),
    }
}

/// Whether the field is a free attribute, whose type differs from one item to the next.
fn is_attribute(field: &Field) -> bool {
    field
        .path
        .split_last()
        .is_some_and(|(_, parents)| parents.iter().any(|part| part == "attributes"))
}

fn holds(order: Ordering, op: Op) -> bool {
    match op {
        Op::Eq | Op::Has => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
    }
}

fn mismatch(found: &Value, field: &Field, literal: &Literal) -> FilterError {
    let example = match found {
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::Boolean(_) => "true or false",
        Value::Timestamp(_) => "a timestamp such as 2021-02-28T16:12:21Z",
    };
    FilterError::new(
        literal.column,
        format!("{field} compares with {example}, got {literal}"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn item(path: &[String]) -> Option<Value> {
        Some(match path.join(".").as_str() {
            "name" => Value::from("20210229"),
            "media_type" => Value::from("image/png"),
            "size_bytes" => Value::Number(2048.0),
            "create_time" => Value::infer("2021-02-28T16:12:21Z"),
            "ready" => Value::Boolean(true),
            "attributes.fatigue" => Value::Number(4.5),
            "attributes.hardware_model" => Value::from("X2"),
            "attributes.note" => Value::from("100% *fine*"),
            "attributes.at" => Value::infer("2021-02-28T16:12:21Z"),
            _ => return None,
        })
    }

    fn matches(filter: &str) -> bool {
        eval(&parse(filter).unwrap(), &item).unwrap()
    }

    #[test]
    fn what_holds_matches() {
        for filter in [
            "",
            "name = 20210229",
            "name = \"20210229\"",
            "media_type = \"image/*\"",
            "media_type = image/*",
            "media_type = \"*/png\"",
            "media_type = \"*mage*\"",
            "media_type != \"video/*\"",
            "media_type:png",
            "media_type < \"image/pngx\"",
            "size_bytes >= 2048 size_bytes <= 2048 size_bytes = 2.048e3",
            "size_bytes:2048",
            "ready = true",
            "ready != false",
            "create_time > \"2021-02-28\"",
            "create_time = 2021-02-28T17:12:21+01:00",
            "create_time < \"2021-03-01T00:00:00Z\"",
            "attributes.fatigue > 3 AND attributes.\"hardware model\" = X2",
            "attributes.fatigue:*",
            "attributes:fatigue",
            "attributes:\"hardware model\"",
            "attributes.\"hardware  model\":*",
            "attributes.fatigue = *",
            "attributes.note = \"100% \\*fine\\*\"",
            "attributes.note = \"*\\*\"",
            "attributes.at >= 2021-02-28T16:12:21Z",
            "name = x OR ready = true AND size_bytes > 1",
            "NOT (name = x AND ready = true)",
        ] {
            assert!(matches(filter), "{filter}");
        }
    }

    #[test]
    fn what_does_not_hold_does_not_match() {
        for filter in [
            "media_type = \"image\"",
            "media_type = \"IMAGE/*\"",
            "media_type != \"image/*\"",
            "size_bytes > 2048",
            "ready = false",
            "create_time <= \"2021-02-28\"",
            "attributes.fatigue > 4.5",
            "attributes:absent",
            "attributes:*",
            "attributes.fatigue != *",
            "-ready = true",
            // OR binds tighter than AND.
            "ready = true OR name = x AND size_bytes > 9999",
        ] {
            assert!(!matches(filter), "{filter}");
        }
    }

    #[test]
    fn a_missing_field_makes_any_comparison_false() {
        for op in ["=", "!=", "<", "<=", ">", ">=", ":"] {
            assert!(!matches(&format!("attributes.absent {op} 1")), "{op}");
            assert!(matches(&format!("NOT attributes.absent {op} 1")), "{op}");
        }
        assert!(!matches("attributes.absent:*"));
        assert!(!matches("attributes.absent = \"a*\""));
    }

    #[test]
    fn an_attribute_of_another_type_never_matches() {
        for filter in [
            "attributes.fatigue = \"4.5\"",
            "attributes.fatigue != \"4.5\"",
            "attributes.fatigue = \"4*\"",
            "attributes.fatigue != \"4*\"",
            "attributes.fatigue = true",
            "attributes.note > 3",
            "attributes.note != 3",
            "attributes.at > 3",
            "attributes.at != \"yesterday\"",
        ] {
            assert!(!matches(filter), "{filter}");
        }
    }

    #[test]
    fn a_field_of_known_type_says_what_it_compares_with() {
        for (filter, message) in [
            (
                "size_bytes > big",
                r#"column 14: size_bytes compares with a number, got "big""#,
            ),
            (
                "size_bytes = \"1*\"",
                r#"column 14: size_bytes compares with a number, got "1*""#,
            ),
            (
                "ready = 1",
                "column 9: ready compares with true or false, got 1",
            ),
            (
                "create_time > soon",
                r#"column 15: create_time compares with a timestamp such as 2021-02-28T16:12:21Z, got "soon""#,
            ),
        ] {
            let error = eval(&parse(filter).unwrap(), &item).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
