//! Removing objects, and the folders that they leave empty.

use std::{fs, io, path::Path};

use s3s::{S3ErrorCode, S3Result};

use super::{Disk, WriteIf};
use crate::{
    fault::{fault, io_fault, no_such_bucket},
    key::Place,
};

impl Disk {
    /// Removes the name of an object, if it is there. It is gone for certain after [`Disk::settle`] of its place.
    pub(crate) fn unlink(&self, place: &Place, when: &WriteIf) -> S3Result<()> {
        let _turn = self.turn(&place.path).lock();
        when.check(place)?;
        match fs::symlink_metadata(&place.path) {
            Ok(found) if found.is_file() => {}
            _ => return Ok(()),
        }
        match fs::remove_file(&place.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_fault("remove the object")(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes removals durable and removes what folders they left empty; one sync for all in the same folder.
    pub(crate) fn settle(&self, places: &[Place]) -> S3Result<()> {
        let mut last: Option<&Path> = None;
        for place in places {
            if last == Some(place.folder()) {
                continue;
            }
            last = Some(place.folder());
            self.sync_folder(place.folder())
                .map_err(io_fault("make the removal durable"))?;
            self.prune(place);
        }
        Ok(())
    }

    /// Removes the folders between an object and its bucket that are empty, from the innermost on.
    pub(super) fn prune(&self, place: &Place) {
        if !is_empty(place.folder()) {
            return;
        }
        let _names = self.names.write();
        for folder in place
            .folder()
            .ancestors()
            .take_while(|folder| *folder != place.bucket)
        {
            // Not empty: somebody uses it, and all above.
            if fs::remove_dir(folder).is_err() {
                return;
            }
            self.folders.forget(folder);
        }
    }

    /// Makes a bucket durably; `false` if it was there.
    pub(crate) fn make_bucket(&self, folder: &Path) -> io::Result<bool> {
        let made = match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            result => result.map(|()| true)?,
        };
        self.sync_folder(self.root())?;
        Ok(made)
    }

    /// Removes a bucket that has no objects; folders without files do not count.
    pub(crate) fn remove_bucket(&self, folder: &Path) -> S3Result<()> {
        {
            let _names = self.names.write();
            if !folder.is_dir() {
                return Err(no_such_bucket());
            }
            self.remove_empty(folder)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::DirectoryNotEmpty => fault(
                        S3ErrorCode::BucketNotEmpty,
                        "the bucket still has objects: delete them first",
                    ),
                    _ => io_fault("remove the bucket")(error),
                })?;
        }
        self.sync_folder(self.root())
            .map_err(io_fault("make the removal durable"))
    }

    fn remove_empty(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            self.remove_empty(&entry.path())?;
        }
        fs::remove_dir(folder)?;
        self.folders.forget(folder);
        Ok(())
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}
