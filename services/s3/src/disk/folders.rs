//! Which folders are known to be durable, so that a write into an old folder does not sync everything above it again.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use s3s::S3Result;

use super::Disk;
use crate::{
    fault::{io_fault, key_conflict, no_such_bucket},
    key::Place,
};

/// Folders that are remembered; past this all are forgotten and synced once more.
const MAX_KNOWN: usize = 16_384;

/// Folders whose entry in the folder above is on the disk for certain.
#[derive(Default)]
pub(super) struct Folders {
    known: Mutex<HashSet<PathBuf>>,
}

impl Folders {
    fn knows(&self, folder: &Path) -> bool {
        self.known.lock().contains(folder)
    }

    fn learn(&self, folder: &Path) {
        let mut known = self.known.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(folder.to_owned());
    }

    pub(super) fn forget_all(&self) {
        self.known.lock().clear();
    }

    pub(super) fn forget(&self, folder: &Path) {
        self.known.lock().remove(folder);
    }
}

impl Disk {
    /// Makes the folders between the bucket and a file, durably. The caller holds `names` for reading.
    pub(super) fn make_folders(&self, place: &Place) -> S3Result<()> {
        let folder = place.folder();
        if self.folders.knows(folder) {
            return Ok(());
        }
        let mut chain: Vec<&Path> = folder
            .ancestors()
            .take_while(|above| *above != self.root)
            .collect();
        chain.reverse();
        for above in chain {
            if self.folders.knows(above) {
                continue;
            }
            // A folder that another request has just made is not durable before its sync, nor before ours.
            let is_bucket = above == place.bucket;
            if is_bucket {
                find_bucket(above)?
            } else {
                make_one(above)?
            }
            self.sync_folder(above.parent().unwrap_or(&self.root))
                .map_err(io_fault("make a folder durable"))?;
            self.folders.learn(above);
        }
        Ok(())
    }
}

fn find_bucket(folder: &Path) -> S3Result<()> {
    if fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
        Ok(())
    } else {
        Err(no_such_bucket())
    }
}

fn make_one(folder: &Path) -> S3Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(folder).map_err(io_fault("read a folder"))?;
            if found.is_dir() {
                Ok(())
            } else {
                Err(key_conflict())
            }
        }
        Err(error) => Err(io_fault("make a folder")(error)),
    }
}
