//! The folder on the disk: temporary files, names, and what makes both durable.

mod bytes;
mod folders;
mod lock;
mod probe;
mod publish;
mod remove;
mod sync;
mod temp;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use parking_lot::{Mutex, RwLock};
use rand::TryRngCore as _;

pub(crate) use self::{
    bytes::{copy_range, read_range, write_frames},
    lock::FolderLock,
    publish::WriteIf,
    sync::Coalesced,
    temp::TempFile,
};
use self::{folders::Folders, sync::FolderSyncs};
use crate::{Error, key::Bucket};

/// Locks for single names, shared by hash: enough that eight clients rarely wait for each other.
const TURNS: usize = 64;

/// The folder of a store, and the order in which names change in it.
pub(crate) struct Disk {
    root: PathBuf,
    folders: Folders,
    syncs: FolderSyncs,
    /// Held for reading while a name is given, for writing while empty folders are removed: so no folder goes away between
    /// being made durable and being used.
    names: RwLock<()>,
    /// One of these is held while the object of a name is checked and replaced.
    turns: [Mutex<()>; TURNS],
}

impl Disk {
    /// Opens the folder: makes it, checks the file system, and clears away what writes left that ended early.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let disk = Self {
            root: root.to_owned(),
            folders: Folders::default(),
            syncs: FolderSyncs::default(),
            names: RwLock::new(()),
            turns: [const { Mutex::new(()) }; TURNS],
        };
        for folder in [root.to_owned(), disk.temp_folder(), disk.upload_folder()] {
            fs::create_dir_all(&folder).map_err(|error| Error::folder("create", &folder, error))?;
        }
        disk.sweep()?;
        probe::check(&disk)?;
        sync::sync_folder(root).map_err(|error| Error::folder("sync", root, error))?;
        Ok(disk)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn temp_folder(&self) -> PathBuf {
        self.root.join(".tmp")
    }

    pub(crate) fn upload_folder(&self) -> PathBuf {
        self.root.join(".multipart")
    }

    pub(crate) fn bucket_folder(&self, bucket: &Bucket) -> PathBuf {
        self.root.join(bucket.as_str())
    }

    /// A name in the folder for temporary files that nothing has.
    pub(crate) fn temp_path(&self) -> PathBuf {
        self.temp_folder().join(random_name())
    }

    /// Makes the entries of a folder durable, together with whoever else waits for the same.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.syncs.sync(folder, &self.root)
    }

    fn sweep(&self) -> Result<(), Error> {
        let folder = self.temp_folder();
        let failed = |error| Error::folder("clear", &folder, error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            let path = entry.path();
            if is_folder {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            }
            .map_err(failed)?;
        }
        Ok(())
    }
}

/// 32 hex digits that nobody can guess.
pub(crate) fn random_name() -> String {
    let mut bytes = [0_u8; 16];
    if rand::rngs::OsRng.try_fill_bytes(&mut bytes).is_err() {
        bytes = rand::random();
    }
    hex::encode(bytes)
}
