//! The one place that reads the environment, beside the flags that say so.

use std::path::PathBuf;

/// A path in a variable; an empty one counts as not set.
pub(crate) fn path(variable: &str) -> Option<PathBuf> {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the configuration's loader"
    )]
    let value = std::env::var_os(variable)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}
