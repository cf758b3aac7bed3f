//! A file in the making: `NAME.granary-part` beside its place, hashed as it grows.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use granary_core::{Error, Result};
use sha2::{Digest as _, Sha256};

use super::Wanted;
use crate::local::failed;

const SUFFIX: &str = ".granary-part";
/// The longest name of a file.
const MAX_NAME: usize = 255;
const BUFFER: usize = 512 << 10;

/// Whether a file with this content is at its place.
pub(super) fn is_there(to: &Path, size: u64, sha256: &str) -> bool {
    let same_size =
        fs::symlink_metadata(to).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size);
    same_size
        && File::open(to)
            .and_then(|mut file| hash(&mut file))
            .is_ok_and(|(_, sum)| hex::encode(sum.finalize()) == sha256)
}

fn hash(file: &mut impl Read) -> io::Result<(u64, Sha256)> {
    let (mut sum, mut length, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER]);
    loop {
        let count = file.read(&mut buffer)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            return Ok((length, sum));
        };
        sum.update(piece);
        length += count as u64;
    }
}

/// The file in the making; locked, so that two downloads do not mix.
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    pub(super) length: u64,
    sum: Sha256,
}

impl Partial {
    /// Opens the file in the making, or goes on with it.
    pub(super) fn open(wanted: &Wanted) -> Result<Self> {
        let path = beside(wanted)?;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder)
                .map_err(|error| failed(folder, "make the folder", &error))?;
        }
        let mut file = lock(&path)?;
        let (length, sum) = hash(&mut file).map_err(|error| failed(&path, "read it", &error))?;
        let mut partial = Self {
            file,
            path,
            length,
            sum,
        };
        if length > wanted.size_bytes {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Empties it.
    pub(super) fn restart(&mut self) -> Result<()> {
        let emptied = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| failed(&self.path, "write it", &error))?;
        (self.length, self.sum) = (0, Sha256::new());
        Ok(())
    }

    /// Writes what came.
    pub(super) fn append(&mut self, pieces: &[Bytes]) -> Result<()> {
        for piece in pieces {
            self.file
                .write_all(piece)
                .map_err(|error| failed(&self.path, "write it", &error))?;
            self.sum.update(piece);
            self.length += piece.len() as u64;
        }
        Ok(())
    }

    /// Whether it is what was wanted.
    pub(super) fn is(&self, wanted: &Wanted) -> bool {
        self.length == wanted.size_bytes
            && hex::encode(self.sum.clone().finalize()) == wanted.sha256
    }

    /// Puts it in its place, for good.
    pub(super) fn publish(self, to: &Path) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|error| failed(&self.path, "write it", &error))?;
        fs::rename(&self.path, to).map_err(|error| failed(to, "put the file there", &error))
    }

    /// Removes it.
    pub(super) fn discard(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|error| failed(&self.path, "remove it", &error))
    }
}

fn beside(wanted: &Wanted) -> Result<PathBuf> {
    let name = wanted
        .to
        .file_name()
        .ok_or_else(|| Error::precondition(wanted.to.display(), "this does not name a file"))?;
    let mut beside = OsString::from(name);
    beside.push(SUFFIX);
    if beside.len() > MAX_NAME {
        beside = format!("{}{SUFFIX}", wanted.asset.asset).into();
    }
    Ok(wanted.to.with_file_name(beside))
}

/// Opens and locks a file. Whoever held the lock before may have put the file in its place meanwhile: then there is a new one to make.
fn lock(path: &Path) -> Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    for _ in 0..10 {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(no_follow)
            .open(path);
        let file = opened.map_err(|error| failed(path, "write it", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::precondition(
                    path.display(),
                    "another download writes it: wait until that has ended",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(path, "lock it", &error)),
        }
        let mine = file
            .metadata()
            .map_err(|error| failed(path, "write it", &error))?;
        if fs::symlink_metadata(path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino()))
        {
            return Ok(file);
        }
    }
    Err(Error::precondition(
        path.display(),
        "other downloads write it all the time: wait until they have ended",
    ))
}

#[cfg(test)]
mod tests {
    use granary_core::name::AssetName;

    use super::*;

    fn wanted(to: PathBuf, content: &str) -> Wanted {
        Wanted {
            asset: AssetName::new("p", "d", "0123456789abcdefghjkmnpqrs").unwrap(),
            to,
            size_bytes: content.len() as u64,
            sha256: crate::hash::sha256(content.as_bytes()),
        }
    }

    #[test]
    fn a_file_in_the_making_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = wanted(folder.path().join("sub/a"), "hello world");
        let mut partial = Partial::open(&wanted).unwrap();
        partial.append(&["hello ".into()]).unwrap();
        drop(partial);
        let mut partial = Partial::open(&wanted).unwrap();
        assert_eq!(partial.length, 6);
        assert!(!partial.is(&wanted));
        partial.append(&["world".into()]).unwrap();
        assert!(partial.is(&wanted));
        partial.publish(&wanted.to).unwrap();
        assert_eq!(fs::read(&wanted.to).unwrap(), b"hello world");
        assert!(is_there(&wanted.to, 11, &wanted.sha256));
        assert!(!is_there(&wanted.to, 11, &"0".repeat(64)));
    }

    #[test]
    fn two_downloads_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = wanted(folder.path().join("a"), "x");
        let _first = Partial::open(&wanted).unwrap();
        let error = Partial::open(&wanted).err().unwrap().to_string();
        assert!(error.contains("another download writes it"), "{error}");
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("a.granary-part")).unwrap();
        assert!(Partial::open(&wanted(folder.path().join("a"), "x")).is_err());
        std::os::unix::fs::symlink(&victim, folder.path().join("b")).unwrap();
        let wanted = wanted(folder.path().join("b"), "new");
        let mut partial = Partial::open(&wanted).unwrap();
        partial.append(&["new".into()]).unwrap();
        partial.publish(&wanted.to).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(&wanted.to).unwrap(), b"new");
    }

    #[test]
    fn the_longest_names_have_room() {
        let folder = tempfile::tempdir().unwrap();
        Partial::open(&wanted(folder.path().join("x".repeat(255)), "x")).unwrap();
    }
}
