//! Joining parts: in place where they lie right, otherwise by a copy inside the kernel.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    Upload,
    log::{Lies, Part},
    upload::DATA,
};
use crate::disk::{Disk, TempFile, copy_range};

/// The bytes of an object, in a file that has not its name yet.
pub(super) enum Whole<'a> {
    /// The upload's own file.
    InPlace { file: &'a File, path: PathBuf },
    /// A copy.
    Copied(TempFile),
}

impl Whole<'_> {
    pub(super) fn file(&self) -> &File {
        match self {
            Self::InPlace { file, .. } => file,
            Self::Copied(temp) => temp.file(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::InPlace { path, .. } => path,
            Self::Copied(temp) => temp.path(),
        }
    }

    /// The file has its name.
    pub(super) fn keep(self) {
        if let Self::Copied(temp) = self {
            temp.keep();
        }
    }
}

/// Joins the parts. Whatever fails, the parts stay as they are, so that it can be tried again.
pub(super) fn assemble<'a>(
    disk: &Disk,
    upload: &'a Upload,
    parts: &[Part],
    total: u64,
) -> io::Result<Whole<'a>> {
    if fits_in_place(upload, parts)? {
        each(parts, |part, offset| match part.lies {
            Lies::Unit(_) => Ok(()),
            Lies::File(_) => copy_one(upload, part, &upload.data, offset),
        })?;
        // What lies behind belongs to parts that broke off.
        upload.data.set_len(total)?;
        return Ok(Whole::InPlace {
            file: &upload.data,
            path: upload.folder.join(DATA),
        });
    }
    let temp = TempFile::create(disk)?;
    each(parts, |part, offset| {
        copy_one(upload, part, temp.file(), offset)
    })?;
    Ok(Whole::Copied(temp))
}

/// Whether every part in `data` is in the object and lies where it has to: then nothing else in there is of value, and the
/// others can be copied in without destroying what a second try would need.
fn fits_in_place(upload: &Upload, parts: &[Part]) -> io::Result<bool> {
    let mut right = 0;
    each(parts, |part, offset| {
        right += usize::from(part.offset() == Some(offset));
        Ok(())
    })?;
    let placed = upload
        .state
        .lock()
        .parts
        .values()
        .filter(|part| part.offset().is_some())
        .count();
    Ok(right == placed)
}

fn copy_one(upload: &Upload, part: &Part, to: &File, offset: u64) -> io::Result<()> {
    match &part.lies {
        Lies::Unit(_) => copy_range(
            &upload.data,
            part.offset().unwrap_or_default(),
            to,
            offset,
            part.size,
        ),
        Lies::File(name) => copy_range(
            &File::open(upload.folder.join(name))?,
            0,
            to,
            offset,
            part.size,
        ),
    }
}

fn each(parts: &[Part], mut work: impl FnMut(&Part, u64) -> io::Result<()>) -> io::Result<()> {
    let mut offset = 0;
    for part in parts {
        work(part, offset)?;
        offset += part.size;
    }
    Ok(())
}
