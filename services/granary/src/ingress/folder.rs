//! The folder that Envoy reads.

use std::{fs, io::Write as _, path::Path};

use granary_core::{Error, Result};

/// Writes files in this order, each whole or not at all: who reads while this writes finds the old one or the new one.
pub(crate) fn write(folder: &Path, files: &[(&'static str, Vec<u8>)]) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::precondition(
            folder.display(),
            format!("cannot write there ({error}): give another folder with --to"),
        )
    };
    fs::create_dir_all(folder).map_err(failed)?;
    for (name, bytes) in files {
        replace(&folder.join(name), bytes).map_err(failed)?;
    }
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // In the same folder, as a rename does not go from one disk to another.
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = file.with_file_name(name);
    let mut out = fs::File::create(&temporary)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        write(&inner, &[("x", b"1".to_vec()), ("y", b"2".to_vec())]).unwrap();
        write(&inner, &[("x", b"3".to_vec())]).unwrap();
        assert_eq!(fs::read(inner.join("x")).unwrap(), b"3");
        let mut names: Vec<_> = fs::read_dir(&inner)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["x", "y"]);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file, &[]).unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("--to"), "{error}");
    }
}
