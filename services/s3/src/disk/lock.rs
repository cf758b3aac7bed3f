//! One process for each folder.

use std::{
    fs::{self, File},
    path::Path,
};

use rustix::{fs::FlockOperation, io::Errno};

use crate::Error;

/// Held while a folder is served; the kernel lets go of it however the process ends.
pub(crate) struct FolderLock {
    _folder: File,
}

impl FolderLock {
    pub(crate) fn take(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root).map_err(|error| Error::folder("create", root, error))?;
        let folder = File::open(root).map_err(|error| Error::folder("open", root, error))?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _folder: folder }),
            Err(Errno::WOULDBLOCK) => Err(Error::InUse {
                path: root.to_owned(),
            }),
            Err(error) => Err(Error::folder("lock", root, error.into())),
        }
    }
}
