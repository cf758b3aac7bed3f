//! Uploading what was made here.

use bytes::Bytes;
use granary_core::{Result, name::SessionName};
use granary_runtime::Link;
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: Bytes,
    pub(crate) media_type: &'static str,
    /// Names of assets.
    pub(crate) derived_from: Vec<String>,
    /// The name of the run.
    pub(crate) producer: String,
}

/// Sends files to the store.
pub(crate) struct Sender(Uploader);

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

impl Sender {
    pub(crate) fn new(storage: &Link) -> Self {
        Self(Uploader::new(storage.clone(), UploadOptions::default()))
    }

    /// Sends files into an open session; what is there already is not sent again.
    pub(crate) async fn send(&self, into: &SessionName, files: Vec<File>) -> Result<()> {
        let items = files
            .into_iter()
            .map(|file| Item {
                path: file.path,
                source: Source::Bytes(file.bytes),
                media_type: file.media_type.to_owned(),
                derived_from: file.derived_from,
                producer: file.producer,
            })
            .collect();
        self.0.upload(into, items, &NoProgress).await.map(drop)
    }
}
