//! What there is, for messages about what there is not.

use granary_core::suggest;

/// ` (did you mean a? there are a, b)`, or ` (there are none)`; at most ten are named.
pub(crate) fn known<'a>(wanted: &str, there: impl IntoIterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = there.into_iter().collect();
    if all.is_empty() {
        return " (there are none)".into();
    }
    all.sort_unstable();
    let guess = suggest::nearest(wanted, all.iter().copied())
        .map(|name| format!("did you mean {name}? "))
        .unwrap_or_default();
    let more = if all.len() > 10 {
        format!(" and {} more", all.len() - 10)
    } else {
        String::new()
    };
    all.truncate(10);
    let verb = if all.len() == 1 {
        "there is"
    } else {
        "there are"
    };
    format!(" ({guess}{verb} {}{more})", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        assert_eq!(
            known("trian", ["train", "fit"]),
            " (did you mean train? there are fit, train)"
        );
        assert_eq!(known("zzz", ["train"]), " (there is train)");
        assert_eq!(known("x", []), " (there are none)");
    }
}
