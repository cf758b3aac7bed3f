//! Files on this machine: what fails is named.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use granary_core::{Error, Result};

/// The error of a failed step; `doing` completes "cannot …".
pub(crate) fn failed(path: &Path, doing: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Exhausted {
            reason: format!(
                "{}: cannot {doing}: the disk is full: make room, then try again",
                path.display()
            ),
            retry_after: None,
            quota_of: None,
        },
        _ => Error::precondition(path.display(), format!("cannot {doing}: {error}")),
    }
}

/// The error of a file that is not what it was.
pub(crate) fn changed(path: &Path) -> Error {
    Error::precondition(
        path.display(),
        "changed while it was sent: try again when it is no longer written",
    )
}

/// What tells whether a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Opens a file to read, if it is one: opening a pipe would wait for ever.
pub(crate) fn open(path: &Path) -> Result<(fs::File, Stamp)> {
    let kind = fs::metadata(path).map_err(|error| failed(path, "read it", &error))?;
    if !kind.is_file() {
        return Err(Error::precondition(path.display(), "this is not a file"));
    }
    let file = fs::File::open(path).map_err(|error| failed(path, "read it", &error))?;
    let metadata = file
        .metadata()
        .map_err(|error| failed(path, "read it", &error))?;
    Ok((file, Stamp::of(&metadata)))
}

/// Does work that waits for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("working on files", error))?
}
