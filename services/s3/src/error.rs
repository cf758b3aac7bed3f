//! Why the endpoint could not be opened or run. Faults of single requests are S3 errors (see `fault`).

use std::{io, path::PathBuf};

/// Why the endpoint could not be opened or run.
///
/// These texts are for whoever starts the process, so they name the folder; nothing of them reaches a client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder or file of the store cannot be made, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Folder {
        /// What was tried, such as `create`.
        action: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system cannot hold what belongs to an object.
    #[error(
        "the file system of {} holds no extended attributes (user.*), where checksums and media types are kept: \
         put the data directory on ext4, xfs, btrfs, zfs or apfs, or mount it with extended attributes",
        path.display()
    )]
    NoAttributes {
        /// The folder of the store.
        path: PathBuf,
    },
    /// The file system would make one file of two keys.
    #[error(
        "the file system of {} does not tell names apart that differ only in case or in their Unicode form: \
         two objects would share a file, so put the data directory on a case-sensitive file system",
        path.display()
    )]
    NamesFold {
        /// The folder of the store.
        path: PathBuf,
    },
    /// Another process serves the folder.
    #[error("{} is already served by another process: stop it first, or choose another folder", path.display())]
    InUse {
        /// The folder of the store.
        path: PathBuf,
    },
    /// A bucket that is to be made at the start has an impossible name.
    #[error("{name:?} is no bucket name: use 3 to 63 lower-case letters, digits, dots and hyphens")]
    BucketName {
        /// The name that was given.
        name: String,
    },
    /// The access key or the secret key is empty.
    #[error("the access key and the secret key of the store must not be empty")]
    NoCredentials,
    /// The listener broke.
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
}

impl Error {
    pub(crate) fn folder(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: io::Error,
    ) -> Self {
        Self::Folder {
            action,
            path: path.into(),
            source,
        }
    }
}
