//! The file of metadata among a session's files: which one it is, and what it says.

use std::path::{Path, PathBuf};

use granary_core::{
    Error,
    sidecar::{self, GuessError, Listed, Metadata, SidecarError},
};

use super::LocalFile;
use crate::{failure::Failure, human};

/// Which file holds the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one whose name says so.
    Guess,
    /// The one of this name or pattern.
    Named(String),
    /// None does.
    Nothing,
}

/// What a file of metadata says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described {
    /// Its path within the session.
    pub(crate) path: String,
    /// What it says.
    pub(crate) metadata: Metadata,
    /// Files that it lists and that are not there.
    pub(crate) missing: Vec<String>,
}

/// Why the metadata cannot be had.
#[derive(Debug)]
pub(crate) enum Problem {
    /// No file, or several, could be it.
    Which(GuessError),
    /// It cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// It cannot be understood.
    Wrong(PathBuf, SidecarError),
}

impl Problem {
    /// As an error of the command.
    pub(crate) fn into_failure(self, root: &Path) -> Failure {
        match self {
            Self::Which(error) => {
                Failure::at(root.display(), Error::invalid("", error.to_string()))
            }
            Self::Unreadable(file, error) => {
                Failure::at(file.display(), Error::invalid("", human::io_error(&error)))
            }
            Self::Wrong(file, error) => {
                Failure::at(file.display(), Error::invalid("", error.to_string()))
            }
        }
    }
}

/// Finds and reads the metadata; nothing if none is wanted.
pub(crate) fn describe(files: &[LocalFile], choice: &Choice) -> Result<Option<Described>, Problem> {
    let configured = match choice {
        Choice::Nothing => return Ok(None),
        Choice::Guess => None,
        Choice::Named(name) => Some(name.as_str()),
    };
    let path = sidecar::guess(files.iter().map(|file| file.path.as_str()), configured)
        .map_err(Problem::Which)?;
    let Some(file) = files.iter().find(|file| file.path == path) else {
        return Ok(None);
    };
    let metadata = read(file)?;
    let missing = missing(files, &metadata, &file.path);
    Ok(Some(Described {
        path: file.path.clone(),
        metadata,
        missing,
    }))
}

fn read(file: &LocalFile) -> Result<Metadata, Problem> {
    use std::io::Read as _;
    let wrong = |error| Problem::Wrong(file.source.clone(), error);
    let unreadable = |error| Problem::Unreadable(file.source.clone(), error);
    sidecar::check_size(file.size).map_err(wrong)?;
    let mut bytes = Vec::new();
    let source = std::fs::File::open(&file.source).map_err(unreadable)?;
    source
        .take(sidecar::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    sidecar::parse(&file.path, &bytes).map_err(wrong)
}

fn missing(files: &[LocalFile], metadata: &Metadata, metadata_path: &str) -> Vec<String> {
    let mut listed = Listed::new(metadata.files.iter().flatten().cloned(), metadata_path);
    files.iter().for_each(|file| listed.saw(&file.path));
    listed.missing().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, contents: &[(&str, &str)]) -> Vec<LocalFile> {
        contents
            .iter()
            .map(|(path, text)| {
                std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
                std::fs::write(folder.join(path), text).unwrap();
                LocalFile {
                    path: (*path).into(),
                    source: folder.join(path),
                    size: text.len() as u64,
                }
            })
            .collect()
    }

    #[test]
    fn listed_files_that_are_absent_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(
            folder.path(),
            &[
                (
                    "metadata.txt",
                    "fatigue: 4\nfiles: a.bin, b.bin, \u{e9}.bin\n",
                ),
                ("a.bin", ""),
                ("e\u{301}.bin", ""),
            ],
        );
        let described = describe(&files, &Choice::Guess).unwrap().unwrap();
        assert_eq!(described.missing, ["b.bin"]);
        assert_eq!(described.path, "metadata.txt");
    }

    #[test]
    fn files_are_found_however_a_recorder_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(
            folder.path(),
            &[
                (
                    "day/metadata.txt",
                    "files: ./eeg.bin, signals\\emg.bin, day/camera.jpg, gone.bin\n",
                ),
                ("day/eeg.bin", ""),
                ("day/signals/emg.bin", ""),
                ("day/camera.jpg", ""),
            ],
        );
        let choice = Choice::Named("day/metadata.txt".into());
        let described = describe(&files, &choice).unwrap().unwrap();
        assert_eq!(described.missing, ["gone.bin"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), &[("metadata.txt", "a: 1\na: 2\n")]);
        let failure = describe(&files, &Choice::Guess)
            .unwrap_err()
            .into_failure(folder.path());
        let message = failure.message().unwrap();
        assert!(
            message.contains("metadata.txt: line 2: attribute \"a\" comes twice"),
            "{message}"
        );
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path(), &[("metadata.txt", "a: 1\n")]);
        files[0].size = 1 << 30;
        assert!(matches!(
            describe(&files, &Choice::Guess),
            Err(Problem::Wrong(..))
        ));
        assert_eq!(describe(&files, &Choice::Nothing).unwrap(), None);
    }
}
