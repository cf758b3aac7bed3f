//! `metadata-attributes`: adds what the session's metadata file says to the session, as typed attributes. No parameters.
//!
//! An attribute that the session has already stays as it is: whoever opened the session said so.

use std::collections::BTreeMap;

use granary_core::value::Value;

use crate::{item::SessionInfo, session_file::SessionFile};

pub(super) const NAME: &str = "metadata-attributes";

/// The attributes to add; or what is wrong with the file.
pub(crate) fn attributes(
    session: &SessionInfo,
    file: &SessionFile,
) -> Result<BTreeMap<String, Value>, String> {
    let mut attributes = file
        .metadata()?
        .map(|metadata| metadata.attributes.clone())
        .unwrap_or_default();
    attributes.retain(|key, _| !session.attributes.contains_key(key));
    Ok(attributes)
}
