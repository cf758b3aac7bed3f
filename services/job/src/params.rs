//! Parameters: their types, and the values that a job gives them.

use std::collections::BTreeMap;

use granary_core::{error::Violations, name::quote, value::Value};
use granary_proto::{convert, job::v1::ParameterSpec, metadata::v1::Value as WireValue};

use crate::near;

const TYPES: [&str; 3] = ["number", "text", "boolean"];

/// Notes what is wrong with the parameters of an entrypoint.
pub(crate) fn check_specs(
    field: &str,
    specs: &BTreeMap<String, ParameterSpec>,
    wrong: &mut Violations,
) {
    if specs.len() > 256 {
        wrong.add(
            field,
            format!("expected at most 256 parameters, got {}", specs.len()),
        );
    }
    for (name, spec) in specs {
        let field = format!("{field}.{name}");
        let legal = (1..=63).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !legal {
            wrong.add(
                &field,
                "expected a name of 1 to 63 of a-z, 0-9 and `_`, starting with a letter",
            );
        }
        if !TYPES.contains(&spec.r#type.as_str()) {
            wrong.add(
                format!("{field}.type"),
                format!(
                    "expected number, text or boolean, got {}",
                    quote(&spec.r#type)
                ),
            );
        } else if let Some(default) = spec.default.clone()
            && let Err(reason) = typed(&spec.r#type, default)
        {
            wrong.add(format!("{field}.default"), reason);
        }
    }
}

/// The values of a job: what it sets and the defaults of the rest. Notes what is unknown, missing or of another type.
pub(crate) fn fill(
    specs: &BTreeMap<String, ParameterSpec>,
    mut given: BTreeMap<String, WireValue>,
    wrong: &mut Violations,
) -> BTreeMap<String, WireValue> {
    let mut filled = BTreeMap::new();
    for (name, spec) in specs {
        let field = format!("parameters.{name}");
        let Some(value) = given.remove(name).or_else(|| spec.default.clone()) else {
            wrong.add(
                field,
                format!("is required: it is a {} and has no default", spec.r#type),
            );
            continue;
        };
        match typed(&spec.r#type, value) {
            Ok(value) => drop(filled.insert(name.clone(), value)),
            Err(reason) => wrong.add(field, reason),
        }
    }
    for name in given.keys() {
        let known = near::known(name, specs.keys().map(String::as_str));
        wrong.add(
            format!("parameters.{name}"),
            format!("the entrypoint has no such parameter{known}"),
        );
    }
    filled
}

fn typed(expected: &str, value: WireValue) -> Result<WireValue, String> {
    let value = convert::value("", value)
        .map_err(|error| error.to_string().trim_start_matches(": ").to_owned())?;
    let article = if expected == "text" { "" } else { "a " };
    let shown = match &value {
        Value::Text(text) => quote(text),
        other => other.to_string(),
    };
    match &value {
        Value::Text(text) if text.contains('\0') => {
            Err("expected text without NUL characters".into())
        }
        value if value.kind().as_str() == expected => Ok(convert::wire_value(value.clone())),
        value => Err(format!(
            "expected {article}{expected}, got {} {shown}",
            value.kind()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(value: impl Into<Value>) -> WireValue {
        convert::wire_value(value.into())
    }

    fn specs() -> BTreeMap<String, ParameterSpec> {
        let spec = |kind: &str, default: Option<WireValue>| ParameterSpec {
            r#type: kind.into(),
            default,
            description: String::new(),
        };
        BTreeMap::from([
            ("rate".into(), spec("number", None)),
            ("fast".into(), spec("boolean", Some(wire(true)))),
        ])
    }

    #[test]
    fn defaults_are_filled_in() {
        let mut wrong = Violations::default();
        let filled = fill(
            &specs(),
            BTreeMap::from([("rate".into(), wire(3.0))]),
            &mut wrong,
        );
        wrong.finish().unwrap();
        assert_eq!(
            filled,
            BTreeMap::from([("fast".into(), wire(true)), ("rate".into(), wire(3.0))])
        );
    }

    #[test]
    fn wrong_missing_and_unknown_ones_are_told_apart() {
        let mut wrong = Violations::default();
        fill(
            &specs(),
            BTreeMap::from([("rate".into(), wire("fast")), ("rat".into(), wire(1.0))]),
            &mut wrong,
        );
        assert_eq!(
            wrong.finish().unwrap_err().to_string(),
            "parameters.rate: expected a number, got text \"fast\"; \
             parameters.rat: the entrypoint has no such parameter (did you mean rate? there are fast, rate)"
        );
        let mut wrong = Violations::default();
        fill(&specs(), BTreeMap::new(), &mut wrong);
        assert_eq!(
            wrong.finish().unwrap_err().to_string(),
            "parameters.rate: is required: it is a number and has no default"
        );
    }
}
