//! The name that was probably meant.

/// `did you mean "thumbnail"?` if one is near, else the names that there are.
pub(crate) fn hint<'a>(written: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    // Nothing this long is near a name, and comparing costs the product of the lengths.
    let near = known
        .clone()
        .filter(|_| written.len() <= 100)
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((_, name)) => format!("did you mean \"{name}\"?"),
        None => format!("expected one of {}", known.collect::<Vec<_>>().join(", ")),
    }
}
