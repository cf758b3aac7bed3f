//! Objects that arrive in parts.
//!
//! An upload is a folder: a `log` of what it is and which parts arrived, and `data`, the object in the making. Parts are
//! written where they belong in the object as soon as the size of a part is known, so completing an upload is a rename and
//! not a copy. A part that does not fit (it came before the size was known, or twice) lies in a file of its own until then.

pub(crate) mod abort;
mod assemble;
pub(crate) mod complete;
pub(crate) mod create;
pub(crate) mod list;
mod log;
pub(crate) mod part;
mod slot;
mod upload;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use s3s::S3Result;

pub(crate) use self::upload::Upload;
use crate::{
    Error,
    disk::Disk,
    fault::{blocking, no_such_upload},
    key::Place,
};

/// Uploads whose log is kept in memory although nobody uses them at the moment.
const MAX_OPEN: usize = 128;
/// Part numbers go from 1 to this, as in S3.
pub(crate) const MAX_PARTS: u16 = 10_000;
/// Bytes of an object, as in S3.
pub(crate) const MAX_OBJECT: u64 = 5 << 40;

/// The uploads that are going on. There is at most one [`Upload`] in memory for each of them.
pub(crate) struct Uploads {
    disk: Arc<Disk>,
    open: Mutex<HashMap<String, Arc<Upload>>>,
    /// Held while an upload is read from the disk, so that none is read twice.
    reading: tokio::sync::Mutex<()>,
}

impl Uploads {
    pub(crate) fn new(disk: Arc<Disk>) -> Self {
        Self {
            disk,
            open: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// The upload of this id for the object at this place.
    pub(crate) async fn find(&self, id: &str, place: &Place) -> S3Result<Arc<Upload>> {
        let upload = match self.known(id) {
            Some(upload) => upload,
            None => self.read(id).await?,
        };
        if upload.place.path == place.path {
            Ok(upload)
        } else {
            Err(no_such_upload())
        }
    }

    fn known(&self, id: &str) -> Option<Arc<Upload>> {
        self.open.lock().get(id).map(Arc::clone)
    }

    async fn read(&self, id: &str) -> S3Result<Arc<Upload>> {
        let _turn = self.reading.lock().await;
        if let Some(upload) = self.known(id) {
            return Ok(upload);
        }
        let (disk, name) = (Arc::clone(&self.disk), id.to_owned());
        let upload = Arc::new(blocking(move || Upload::open(&disk, &name)).await?);
        let mut open = self.open.lock();
        if open.len() >= MAX_OPEN {
            // Ours is the only reference: nobody writes into it.
            open.retain(|_, upload| Arc::strong_count(upload) > 1);
        }
        open.insert(id.to_owned(), Arc::clone(&upload));
        Ok(upload)
    }

    /// Ends an upload: no part is taken any more, and those in progress are broken off. Should the ending fail, the upload
    /// goes on, read anew from the disk by whoever comes next.
    fn close(self: &Arc<Self>, upload: Arc<Upload>) -> Closing {
        upload.closed.cancel();
        Closing {
            uploads: Arc::clone(self),
            upload,
        }
    }
}

/// An upload that is being completed or aborted.
struct Closing {
    uploads: Arc<Uploads>,
    upload: Arc<Upload>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.uploads.open.lock().remove(&self.upload.id);
    }
}

/// The folder of an upload, if this is the form of an id at all.
pub(crate) fn folder_of(disk: &Disk, id: &str) -> Option<PathBuf> {
    let is_id = id.len() == 32
        && id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    is_id.then(|| disk.upload_folder().join(id))
}

/// Removes the folder of an upload in one step as far as anybody can see.
fn remove_folder(disk: &Disk, folder: &Path) {
    let hidden = disk.temp_path();
    let removed = fs::rename(folder, &hidden).and_then(|()| fs::remove_dir_all(&hidden));
    if let Err(error) = removed {
        tracing::warn!(%error, "the rest of a multipart upload stays until the next start");
    }
}

/// Clears away uploads that were completed just before the process ended: their data is the object now.
pub(crate) fn sweep(disk: &Disk) -> Result<(), Error> {
    let folder = disk.upload_folder();
    let failed = |error| Error::folder("clear", &folder, error);
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && !path.join(upload::DATA).exists() {
            fs::remove_dir_all(path).map_err(failed)?;
        }
    }
    Ok(())
}
