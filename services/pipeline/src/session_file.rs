//! The metadata file of a session, read once for all the steps that ask.

use granary_core::{
    Error, Result,
    sidecar::{self, Metadata},
};
use granary_runtime::objects::ObjectReader;

use crate::item::SessionInfo;

/// What the metadata file says: nothing if the session has none.
#[derive(Debug, Default)]
pub(crate) struct SessionFile(Option<Result<Metadata, String>>);

impl SessionFile {
    /// Reads the session's metadata file.
    ///
    /// # Errors
    /// Only if the store does not answer; a file that is missing or wrong is for the steps to judge.
    pub(crate) async fn load(objects: &ObjectReader, session: &SessionInfo) -> Result<Self> {
        if session.metadata_path.is_empty() {
            return Ok(Self(None));
        }
        let uri = format!("{}{}", session.uri, session.metadata_path);
        let most = sidecar::MAX_BYTES as u64 + 1;
        Ok(Self(Some(match objects.read_start(&uri, most).await {
            Ok(bytes) => {
                sidecar::parse(&session.metadata_path, &bytes).map_err(|error| error.to_string())
            }
            Err(Error::NotFound { .. }) => Err(format!(
                "the metadata file {} is missing",
                granary_core::name::quote(&session.metadata_path)
            )),
            Err(other) => return Err(other),
        })))
    }

    /// What it says, if there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn metadata(&self) -> Result<Option<&Metadata>, String> {
        match &self.0 {
            None => Ok(None),
            Some(Ok(metadata)) => Ok(Some(metadata)),
            Some(Err(message)) => Err(message.clone()),
        }
    }

    #[cfg(test)]
    pub(crate) fn parsed(text: &str) -> Self {
        Self(Some(
            sidecar::parse("metadata.txt", text.as_bytes()).map_err(|error| error.to_string()),
        ))
    }
}
