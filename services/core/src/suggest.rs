//! The name that was probably meant, for messages about one that is not known.

use crate::name::quote;

/// Nothing this long is near a name, and comparing costs the product of the lengths.
const LONGEST: usize = 100;

/// The nearest of the known names, if it is so near that what was written is a slip: up to a third of the letters differ.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean "thumbnail"?` if one is near, else `expected one of` all that there are.
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(written, known.clone()) {
        Some(name) => format!("did you mean {}?", quote(name)),
        None => {
            let known: Vec<&str> = known.into_iter().collect();
            format!("expected one of {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        assert_eq!(
            did_you_mean("thumbnial", ["copy", "thumbnail"]),
            "did you mean \"thumbnail\"?"
        );
        assert_eq!(
            did_you_mean("resize", ["copy", "thumbnail"]),
            "expected one of copy, thumbnail"
        );
        assert_eq!(nearest("coy", ["cop", "copy", "cot"]), Some("cop"));
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_very_long_name_is_not_compared() {
        let long = "a".repeat(101);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
