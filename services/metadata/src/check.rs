//! Checks of what callers send, beyond what names and paths check themselves.

use granary_core::{Error, Result, name::quote};

/// A text of at most `max` bytes.
pub(crate) fn text(field: &str, text: &str, max: usize) -> Result<()> {
    if text.len() > max {
        return Err(Error::invalid(
            field,
            format!("expected at most {max} bytes, got {}", text.len()),
        ));
    }
    no_nul(field, text)
}

/// A text without NUL, which not every database holds.
pub(crate) fn no_nul(field: &str, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::invalid(field, "expected no NUL character"));
    }
    Ok(())
}

/// Names of what something was made from.
pub(crate) fn names(field: &str, names: &[String], max: usize) -> Result<()> {
    if names.len() > max {
        return Err(Error::invalid(
            field,
            format!("expected at most {max} names, got {}", names.len()),
        ));
    }
    for (i, name) in names.iter().enumerate() {
        let at = format!("{field}[{i}]");
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'.');
        if !(1..=512).contains(&name.len()) || !name.bytes().all(legal) {
            return Err(Error::invalid(
                at,
                format!("expected the name of a resource, got {}", quote(name)),
            ));
        }
    }
    Ok(())
}
