//! Giving a finished file its final name, durably and only under the condition that the request made.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::Path,
};

use parking_lot::Mutex;
use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};
use s3s::{S3ErrorCode, S3Result, dto::ETagCondition};

use super::{Disk, TURNS};
use crate::{
    fault::{fault, io_fault, key_conflict, precondition_failed},
    key::Place,
    object::Object,
};

/// The condition under which an object may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteIf {
    /// None: whatever is there is replaced.
    Always,
    /// Nothing has the name: `If-None-Match: *`.
    Absent,
    /// Something has the name: `If-Match: *`.
    Present,
    /// The object that has the name has this entity tag: `If-Match`.
    Tagged(String),
}

impl WriteIf {
    pub(crate) fn new(
        if_match: Option<ETagCondition>,
        if_none_match: Option<ETagCondition>,
    ) -> S3Result<Self> {
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::Always),
            (None, Some(ETagCondition::Any)) => Ok(Self::Absent),
            (Some(ETagCondition::Any), None) => Ok(Self::Present),
            (Some(ETagCondition::ETag(tag)), None) => Ok(Self::Tagged(tag.into_value())),
            _ => Err(fault(
                S3ErrorCode::NotImplemented,
                "a write takes `If-None-Match: *` or `If-Match`, not both and not other tags",
            )),
        }
    }

    /// Compares with what lies there now.
    pub(crate) fn check(&self, place: &Place) -> S3Result<()> {
        match self {
            Self::Always => Ok(()),
            Self::Absent => match Object::open(place) {
                Ok(_) => Err(precondition_failed()),
                Err(error) if *error.code() == S3ErrorCode::NoSuchKey => Ok(()),
                Err(error) => Err(error),
            },
            Self::Present => Object::open(place).map(drop),
            Self::Tagged(tag) if Object::open(place)?.etag() == *tag => Ok(()),
            Self::Tagged(_) => Err(precondition_failed()),
        }
    }
}

impl Disk {
    /// The lock that whoever checks and changes one name holds.
    pub(super) fn turn(&self, path: &Path) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        self.turns.get(index).unwrap_or(&self.turns[0])
    }

    /// Gives the synced file at `source` the name of an object and makes the name durable.
    ///
    /// # Errors
    /// If the condition does not hold, or another key stands in the way: then `source` is where it was. If only the last
    /// sync fails, the object is there, whole, but may be gone after a loss of power.
    pub(crate) fn publish(&self, source: &Path, place: &Place, when: &WriteIf) -> S3Result<()> {
        let named = self.name(source, place, when);
        if named.is_err() {
            self.prune(place);
        }
        named?;
        self.sync_folder(place.folder())
            .map_err(io_fault("make the name of the object durable"))
    }

    fn name(&self, source: &Path, place: &Place, when: &WriteIf) -> S3Result<()> {
        let _names = self.names.read();
        self.make_folders(place)?;
        let _turn = self.turn(&place.path).lock();
        when.check(place)?;
        let mut renamed = rename(source, place, when);
        if renamed
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            // Somebody removed a folder by hand.
            self.folders.forget_all();
            self.make_folders(place)?;
            renamed = rename(source, place, when);
        }
        renamed.map_err(|error| match error.kind() {
            _ if place.path.is_dir() => key_conflict(),
            io::ErrorKind::AlreadyExists => precondition_failed(),
            _ => io_fault("name the object")(error),
        })
    }
}

fn rename(source: &Path, place: &Place, when: &WriteIf) -> io::Result<()> {
    match when {
        WriteIf::Absent => rename_new(source, &place.path),
        _ => fs::rename(source, &place.path),
    }
}

/// Renames unless the new name is taken, in one step.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag; a link does the same in two steps.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        result => Ok(result?),
    }
}
