//! Files that were named one by one: together they are one session.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use granary_core::{Error, error::Violations};

use super::{Choice, Folder, LocalFile, describe, walk};
use crate::{
    failure::{Failure, Outcome},
    human,
};

/// One session of files. Unless its id is given, it follows from the files' names, sizes and times, so that the same command again goes on
/// with the same session. Without another choice, a file named `metadata.*` is the metadata, and there need not be one.
pub(crate) fn loose(paths: &[PathBuf], session: Option<&str>, choice: &Choice) -> Outcome<Folder> {
    let mut violations = Violations::default();
    let (mut files, mut parts, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for path in paths {
        let found = one(path).and_then(|(file, part)| {
            if seen.insert(file.path.to_owned()) {
                return Ok((file, part));
            }
            Err(Error::invalid(
                human::shown(&path.display().to_string()),
                "another file has the same name: send them as folders",
            ))
        });
        if let Some((file, part)) = violations.check(found)? {
            files.push(file);
            parts.push(part);
        }
    }
    violations.finish()?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    parts.sort();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let id = granary_core::id::digest(&parts);
    let session = session.map_or_else(
        || format!("files-{}", id.chars().take(10).collect::<String>()),
        str::to_owned,
    );
    let described = describe::describe(&files, &choose(&files, choice)).map_err(|problem| {
        match paths.first() {
            Some(path) => problem.into_failure(path.parent().unwrap_or(path)),
            None => Failure::reported(),
        }
    })?;
    Ok(Folder {
        label: human::count(files.len() as u64, "file"),
        session,
        files,
        described,
        warnings: Vec::new(),
    })
}

fn one(path: &Path) -> Result<(LocalFile, String), Error> {
    let place = human::shown(&path.display().to_string());
    let refuse = |why: String| Error::invalid(place.clone(), why);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| refuse("the name is not UTF-8: rename it".into()))?;
    walk::check(name)?;
    let metadata = path
        .metadata()
        .map_err(|error| refuse(human::io_error(&error)))?;
    if !metadata.is_file() {
        return Err(refuse("is neither a folder nor a regular file".into()));
    }
    let time = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    let part = format!("{name}\0{}\0{}", metadata.len(), time.as_nanos());
    Ok((walk::file(name, path.to_owned(), &metadata)?, part))
}

fn choose(files: &[LocalFile], choice: &Choice) -> Choice {
    let named = |file: &LocalFile| file.path.to_lowercase().starts_with("metadata.");
    match choice {
        Choice::Guess if !files.iter().any(named) => Choice::Nothing,
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn the_same_files_are_the_same_session_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (write(&folder, "a.jpg", "a"), write(&folder, "b.jpg", "b"));
        let one = loose(&[a.clone(), b.clone()], None, &Choice::Guess).unwrap();
        let two = loose(&[b, a.clone()], None, &Choice::Guess).unwrap();
        assert_eq!(one.session, two.session);
        assert!(one.session.starts_with("files-") && one.session.len() == 16);
        assert_ne!(
            loose(std::slice::from_ref(&a), None, &Choice::Guess)
                .unwrap()
                .session,
            one.session
        );
        assert_eq!(
            loose(&[a], Some("mine"), &Choice::Guess).unwrap().session,
            "mine"
        );
    }

    #[test]
    fn metadata_is_taken_but_not_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (a, m) = (
            write(&folder, "notes.txt", "free text"),
            write(&folder, "metadata.txt", "fatigue: 3\n"),
        );
        assert!(
            loose(std::slice::from_ref(&a), None, &Choice::Guess)
                .unwrap()
                .described
                .is_none()
        );
        assert_eq!(
            loose(&[a, m], None, &Choice::Guess)
                .unwrap()
                .described
                .unwrap()
                .path,
            "metadata.txt"
        );
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [
            write(&folder, "x/a", ""),
            write(&folder, "y/a", ""),
            folder.path().join("none"),
        ];
        let message = loose(&paths, None, &Choice::Guess)
            .unwrap_err()
            .message()
            .unwrap();
        assert!(
            message.contains("another file has the same name")
                && message.contains("none: not found"),
            "{message}"
        );
    }
}
