//! What a file system must be able to do, tried once at the start.

use std::{fs, io};

use super::{Disk, TempFile};
use crate::{Error, attr::Attr};

/// Two names that a file system which folds case, or composes Unicode, takes for one: each pair must be two files.
const PAIRS: [(&str, &str); 2] = [("probe-a", "probe-A"), ("probe-\u{e4}", "probe-a\u{308}")];

pub(super) fn check(disk: &Disk) -> Result<(), Error> {
    attributes(disk)?;
    names(disk)
}

fn attributes(disk: &Disk) -> Result<(), Error> {
    let path = disk.root();
    let failed = |error| Error::folder("write to", path, error);
    let probe = TempFile::create(disk).map_err(failed)?;
    let attr = Attr {
        etag: Some("probe".to_owned()),
        ..Attr::default()
    };
    match attr.store(probe.file()) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            return Err(Error::NoAttributes {
                path: path.to_owned(),
            });
        }
        result => result.map_err(failed)?,
    }
    if Attr::of(probe.file()).map_err(failed)? == attr {
        Ok(())
    } else {
        Err(Error::NoAttributes {
            path: path.to_owned(),
        })
    }
}

fn names(disk: &Disk) -> Result<(), Error> {
    let folder = disk.temp_folder();
    for (first, second) in PAIRS {
        let first = TempFile::create_at(folder.join(first))
            .map_err(|error| Error::folder("write to", &folder, error))?;
        let folded = fs::symlink_metadata(folder.join(second)).is_ok();
        drop(first);
        if folded {
            return Err(Error::NamesFold {
                path: disk.root().to_owned(),
            });
        }
    }
    Ok(())
}
