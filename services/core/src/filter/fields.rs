//! Whether the fields of a filter exist, and which one was meant.

use super::ast::{Field, Filter, Op};
use super::error::FilterError;

/// Checks every field of `filter` against `known` ones: full names such as `size_bytes`, and `attributes.*` for
/// anything below `attributes` (and `attributes:key`).
///
/// # Errors
/// The first unknown field with its column and the nearest known name:
/// `column 1: unknown field "sise_bytes"; did you mean "size_bytes"?`
pub fn check_fields(filter: &Filter, known: &[&str]) -> Result<(), FilterError> {
    for (field, op, _) in filter.comparisons() {
        let name = field.path.join(".");
        if !known.iter().any(|entry| admits(entry, field, &name, op)) {
            let hint = hint(field, &name, known);
            let message = format!("unknown field \"{field}\"; {hint}");
            return Err(FilterError::new(field.column, message));
        }
    }
    Ok(())
}

fn admits(entry: &str, field: &Field, name: &str, op: Op) -> bool {
    match entry.strip_suffix(".*") {
        Some(parent) => field.below(parent).is_some() || (op == Op::Has && name == parent),
        None => entry == name,
    }
}

fn hint(field: &Field, name: &str, known: &[&str]) -> String {
    // Comparing costs the product of the lengths, and nothing this long is near a known name.
    let comparable = name.len() <= 100;
    let nearest = known
        .iter()
        .filter(|_| comparable)
        .filter_map(|entry| nearness(entry, field, name))
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, candidate)) = nearest {
        return format!("did you mean \"{candidate}\"?");
    }
    let attributes = known.iter().filter_map(|entry| entry.strip_suffix(".*"));
    match attributes.min_by_key(|parent| parent.len()) {
        Some(parent) if field.path.len() == 1 => format!("did you mean \"{parent}.{field}\"?"),
        _ => format!("expected one of {}", known.join(", ")),
    }
}

/// How far the field is from this entry, and what it would be called if the entry was meant: `attributes.*` gives
/// `atributes.x` its own end. `None` if it is too far to be a slip.
fn nearness(entry: &str, field: &Field, name: &str) -> Option<(usize, String)> {
    let (known, rest) = match entry.strip_suffix(".*") {
        Some(parent) => (parent, field.path.get(parent.split('.').count()..)?),
        None => (entry, &[][..]),
    };
    let mut candidate = known.to_owned();
    for part in rest {
        candidate.push('.');
        candidate.push_str(part);
    }
    let distance = strsim::damerau_levenshtein(name, &candidate);
    (distance <= (known.len() / 4).max(1)).then_some((distance, candidate))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const KNOWN: [&str; 5] = [
        "name",
        "size_bytes",
        "media_type",
        "attributes.*",
        "session.attributes.*",
    ];

    fn check(filter: &str) -> Result<(), String> {
        check_fields(&parse(filter).unwrap(), &KNOWN).map_err(|error| error.to_string())
    }

    #[test]
    fn known_fields_and_any_attribute_pass() {
        for filter in [
            "",
            "name = a size_bytes > 1 OR NOT media_type = b",
            "attributes.fatigue > 3",
            "attributes.a.b.\"c d\" = 1",
            "session.attributes.x = 1",
            "attributes:fatigue",
        ] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn an_unknown_field_gets_the_nearest_name() {
        for (filter, message) in [
            (
                "sise_bytes > 3",
                r#"column 1: unknown field "sise_bytes"; did you mean "size_bytes"?"#,
            ),
            (
                "name = a AND mediatype = b",
                r#"column 14: unknown field "mediatype"; did you mean "media_type"?"#,
            ),
            (
                "atributes.fatigue = 1",
                r#"column 1: unknown field "atributes.fatigue"; did you mean "attributes.fatigue"?"#,
            ),
            (
                "fatigue = 1",
                r#"column 1: unknown field "fatigue"; did you mean "attributes.fatigue"?"#,
            ),
            (
                "session.fatigue.level = 1",
                r#"column 1: unknown field "session.fatigue.level"; expected one of name, size_bytes, media_type, attributes.*, session.attributes.*"#,
            ),
        ] {
            assert_eq!(check(filter), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_map_itself_has_no_value_to_compare() {
        assert!(check("attributes = 1").is_err());
        assert!(check("name.first = 1").is_err());
        assert!(check("session = 1").is_err());
    }

    #[test]
    fn a_very_long_field_costs_little() {
        let filter = format!("{} = 1", "a".repeat(8000));
        assert!(check(&filter).is_err());
    }
}
