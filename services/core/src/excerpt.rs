//! Texts of others in messages: they may be long.

/// The start of a text, at most so many characters, and what to write after it: `...` if there is more.
pub(crate) fn excerpt(text: &str, most: usize) -> (&str, &'static str) {
    let end = text.char_indices().nth(most).map(|(end, _)| end);
    match end.and_then(|end| text.get(..end)) {
        Some(start) => (start, "..."),
        None => (text, ""),
    }
}
