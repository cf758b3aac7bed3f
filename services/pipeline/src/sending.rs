//! Uploading what was made here.

use bytes::Bytes;
use granary_core::{Error, Result, name::SessionName};
use granary_runtime::Link;

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: Bytes,
    pub(crate) media_type: &'static str,
    pub(crate) derived_from: Vec<String>,
    pub(crate) producer: String,
}

/// Sends files to the store.
#[derive(Debug)]
pub(crate) struct Sender;

impl Sender {
    pub(crate) fn new(_storage: &Link) -> Self {
        Self
    }

    pub(crate) async fn send(&self, _into: &SessionName, _files: Vec<File>) -> Result<()> {
        Err(Error::Unavailable {
            reason: "not yet".into(),
            cause: None,
        })
    }
}
