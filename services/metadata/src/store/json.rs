//! Small structures that stand in a column as JSON.

use granary_core::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};

/// The most that one column of one row holds, so that a page always fits into a message.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// For a column; `field` is what to blame when it is too large.
pub(crate) fn encode<T: Serialize>(field: &str, value: &T) -> Result<String> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::internal("storing a structure", error))?;
    if text.len() > MAX_BYTES {
        return Err(Error::invalid(
            field,
            format!("expected at most 1 MiB in all, got {} bytes", text.len()),
        ));
    }
    Ok(text)
}

/// From a column.
pub(crate) fn decode<T: DeserializeOwned + Default>(text: &str) -> Result<T> {
    // Most structures are empty.
    if matches!(text, "{}" | "[]") {
        return Ok(T::default());
    }
    serde_json::from_str(text).map_err(|error| Error::internal("reading a stored structure", error))
}
