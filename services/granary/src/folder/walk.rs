//! The files of a folder. Everything that cannot be sent is refused, all of it at once, before anything is sent.

use std::{
    collections::HashMap,
    fs::Metadata,
    path::{Path, PathBuf},
};

use granary_core::{Error, Result, error::Violations, path};
use unicode_normalization::UnicodeNormalization as _;
use walkdir::{DirEntry, WalkDir};

use super::LocalFile;
use crate::human;

/// At most this many problems are listed.
const MAX_PROBLEMS: usize = 20;

/// What was found.
#[derive(Debug)]
pub(super) struct Walked {
    /// By path.
    pub(super) files: Vec<LocalFile>,
    pub(super) warnings: Vec<String>,
}

/// Finds the files below a folder, hidden ones too; what begins with `.granary` at its top is left out.
pub(super) fn walk(root: &Path) -> Result<Walked> {
    let whole = root
        .canonicalize()
        .map_err(|error| Error::invalid("", human::io_error(&error)))?;
    let mut files = Vec::new();
    let mut problems = Problems::default();
    let entries = WalkDir::new(&whole)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter();
    for entry in entries.filter_entry(|entry| !is_ours(entry)) {
        let found = entry
            .map_err(|error| unreadable(&whole, &error))
            .and_then(|entry| one(&whole, &entry));
        match found {
            Ok(Some(file)) => files.push(file),
            Ok(None) => {}
            Err(error) => problems.add(error)?,
        }
    }
    problems.finish()?;
    if files.is_empty() {
        return Err(Error::invalid(
            "",
            "the folder is empty: a session needs at least one file",
        ));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let warnings = same_to_the_eye(&files);
    Ok(Walked { files, warnings })
}

fn is_ours(entry: &DirEntry) -> bool {
    entry.depth() == 1
        && entry
            .file_name()
            .to_string_lossy()
            .starts_with(path::RESERVED)
}

fn unreadable(root: &Path, error: &walkdir::Error) -> Error {
    let place = error
        .path()
        .and_then(|path| path.strip_prefix(root).ok())
        .unwrap_or(Path::new("."));
    let what = error
        .io_error()
        .map_or_else(|| "cannot be read".to_owned(), human::io_error);
    Error::invalid(human::shown(&place.display().to_string()), what)
}

fn one(root: &Path, entry: &DirEntry) -> Result<Option<LocalFile>> {
    let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
    let place = human::shown(&relative.display().to_string());
    let refuse = |why: &str| Err(Error::invalid(place.clone(), why));
    let kind = entry.file_type();
    if kind.is_dir() {
        return Ok(None);
    }
    let Some(path) = relative.to_str() else {
        return refuse("the name is not UTF-8: rename it");
    };
    check(path)?;
    if kind.is_symlink() {
        return match linked(root, entry.path()) {
            Ok((source, metadata)) => file(path, source, &metadata).map(Some),
            Err(why) => refuse(&why),
        };
    }
    if !kind.is_file() {
        return refuse("is no regular file but a pipe, a socket or a device: remove it");
    }
    let metadata = entry.metadata().map_err(|error| unreadable(root, &error))?;
    file(path, entry.path().to_owned(), &metadata).map(Some)
}

/// Checks a path within a session; the error has the path as its field.
pub(super) fn check(path: &str) -> Result<()> {
    path::check(path).map_err(|error| match error {
        Error::Invalid(violations) => {
            let why = violations.first().map(|v| {
                v.description
                    .split(", got ")
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            });
            Error::invalid(human::shown(path), why.unwrap_or_default())
        }
        other => other,
    })
}

/// A file with its size.
pub(super) fn file(path: &str, source: PathBuf, metadata: &Metadata) -> Result<LocalFile> {
    Ok(LocalFile {
        path: path.to_owned(),
        source,
        size: metadata.len(),
    })
}

// A link is sent as the file that it leads to, but nothing from outside of the folder is sent by way of one.
fn linked(root: &Path, link: &Path) -> Result<(PathBuf, Metadata), String> {
    let target = link
        .canonicalize()
        .map_err(|_| "is a symbolic link that leads nowhere: remove it".to_owned())?;
    if !target.starts_with(root) {
        return Err("is a symbolic link out of the folder: put the file itself there".into());
    }
    let metadata = target.metadata().map_err(|error| human::io_error(&error))?;
    if metadata.is_file() {
        Ok((target, metadata))
    } else {
        Err("is a symbolic link to a folder: put the files themselves there".into())
    }
}

// Two names that look the same in different Unicode forms are two files here, but become one on some other machines.
fn same_to_the_eye(files: &[LocalFile]) -> Vec<String> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    let mut warnings = Vec::new();
    for file in files.iter().filter(|file| !file.path.is_ascii()) {
        let normal: String = file.path.nfc().collect();
        if seen.insert(normal, &file.path).is_some() {
            warnings.push(format!("{}: two files have this name in different Unicode forms; both are sent as they are", human::shown(&file.path)));
        }
    }
    warnings
}

#[derive(Debug, Default)]
struct Problems {
    violations: Violations,
    count: usize,
}

impl Problems {
    fn add(&mut self, error: Error) -> Result<()> {
        self.count += 1;
        if self.count <= MAX_PROBLEMS {
            self.violations.check::<()>(Err(error))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if self.count > MAX_PROBLEMS {
            self.violations
                .add("", format!("and {} more", self.count - MAX_PROBLEMS));
        }
        self.violations.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix};

    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in paths {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, path).unwrap();
        }
        folder
    }

    fn paths(folder: &tempfile::TempDir) -> Vec<String> {
        walk(folder.path())
            .unwrap()
            .files
            .into_iter()
            .map(|file| file.path)
            .collect()
    }

    fn refusal(folder: &tempfile::TempDir) -> String {
        walk(folder.path()).unwrap_err().to_string()
    }

    #[test]
    fn files_of_all_levels_are_found_and_granary_s_own_left_out() {
        let folder = folder(&[
            "b",
            "a/c d",
            "a/.hidden",
            "A/x\ny",
            ".granary/session.json",
            ".granary-state",
            "sub/.granary/x",
        ]);
        assert_eq!(
            paths(&folder),
            ["A/x\ny", "a/.hidden", "a/c d", "b", "sub/.granary/x"]
        );
        assert_eq!(walk(folder.path()).unwrap().files[3].size, 1);
    }

    #[test]
    fn an_empty_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        assert!(refusal(&folder).contains("empty"));
    }

    #[test]
    fn a_link_inside_is_a_file_and_all_others_are_refused() {
        let outside = folder(&["secret"]);
        let folder = folder(&["real/a"]);
        unix::fs::symlink("real/a", folder.path().join("fine")).unwrap();
        assert_eq!(paths(&folder), ["fine", "real/a"]);
        unix::fs::symlink(outside.path().join("secret"), folder.path().join("out")).unwrap();
        unix::fs::symlink("nowhere", folder.path().join("broken")).unwrap();
        unix::fs::symlink("real", folder.path().join("dir")).unwrap();
        let error = refusal(&folder);
        for part in [
            "out: is a symbolic link out of the folder",
            "broken: is a symbolic link that leads nowhere",
            "dir: is a symbolic link to a folder",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn names_that_cannot_be_sent_are_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = folder(&["a"]);
        fs::write(
            folder.path().join(std::ffi::OsStr::from_bytes(b"b\xff")),
            "",
        )
        .unwrap();
        assert!(
            refusal(&folder).contains("not UTF-8"),
            "{}",
            refusal(&folder)
        );
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = folder(&["a"]);
        let made = std::process::Command::new("mkfifo")
            .arg(folder.path().join("pipe"))
            .status()
            .unwrap();
        assert!(made.success());
        assert!(
            refusal(&folder).starts_with("pipe: is no regular file"),
            "{}",
            refusal(&folder)
        );
    }

    #[test]
    fn names_in_two_unicode_forms_are_two_files_with_a_warning() {
        let folder = folder(&["\u{e9}", "e\u{301}"]);
        let walked = walk(folder.path()).unwrap();
        assert_eq!(walked.files.len(), 2);
        assert_eq!(walked.warnings.len(), 1);
    }

    #[test]
    fn a_folder_of_many_problems_is_not_listed_in_full() {
        let folder = folder(&["a"]);
        for number in 0..30 {
            unix::fs::symlink("nowhere", folder.path().join(format!("l{number}"))).unwrap();
        }
        assert!(refusal(&folder).ends_with("and 10 more"));
    }
}
