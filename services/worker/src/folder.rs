//! Working folders: one for each attempt, gone after it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use granary_core::{Error, Result, name::JobName};

use crate::launch;

/// The folder of a worker, which only one worker uses at a time.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    _lock: File,
}

impl Root {
    /// Opens the folder, and clears away what an earlier worker left: programs that still run, and their files.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = |what: &str, error: io::Error| {
            Error::precondition(
                path.display(),
                format!("cannot {what} the worker's folder: {error}"),
            )
        };
        fs::create_dir_all(path).map_err(|error| failed("create", error))?;
        let path = path.canonicalize().map_err(|error| failed("find", error))?;
        let lock = File::create(path.join("lock")).map_err(|error| failed("lock", error))?;
        if lock.try_lock().is_err() {
            return Err(Error::precondition(
                path.display(),
                "another worker uses this folder: stop it, or give this one another folder",
            ));
        }
        let killed = launch::end_leftovers(&path);
        if killed > 0 {
            tracing::warn!(killed, "ended programs that an earlier worker left running");
        }
        for entry in fs::read_dir(&path)
            .map_err(|error| failed("read", error))?
            .flatten()
        {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
        Ok(Self { path, _lock: lock })
    }

    /// Makes the folder of an attempt.
    pub(crate) fn attempt(&self, job: &JobName, attempt: i32) -> io::Result<Working> {
        // Ids have no dots, so that no two attempts meet.
        let path = self
            .path
            .join(format!("{}.{}-{attempt}", job.project, job.job));
        let working = Working {
            files: path.join("files"),
            log: path.join("stdout.log"),
            path,
            passing: true,
        };
        fs::create_dir(&working.path)?;
        fs::create_dir(&working.files)?;
        fs::create_dir(working.path.join("tmp"))?;
        Ok(working)
    }
}

/// The folder of an attempt; removed when dropped, unless it goes with its pod.
#[derive(Debug)]
pub(crate) struct Working {
    path: PathBuf,
    files: PathBuf,
    log: PathBuf,
    passing: bool,
}

impl Working {
    /// The folders of an attempt that has a pod to itself.
    pub(crate) fn of_pod(files: &Path, log: &Path) -> Self {
        Self {
            path: "/".into(),
            files: files.to_owned(),
            log: log.to_owned(),
            passing: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What `/files` is to the program.
    pub(crate) fn files(&self) -> PathBuf {
        self.files.clone()
    }

    /// Where the program's output is kept.
    pub(crate) fn log(&self) -> PathBuf {
        self.log.clone()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if self.passing {
            remove(&self.path);
        }
    }
}

fn remove(path: &Path) {
    let mut result = fs::remove_dir_all(path);
    if result
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    {
        open_up(path);
        result = fs::remove_dir_all(path);
    }
    if let Err(error) = result {
        tracing::warn!(%error, folder = %path.display(), "cannot remove a working folder");
    }
}

/// A program may have taken away its own rights to its folders.
fn open_up(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_a_folder_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let job = JobName::new("p", "j").unwrap();
        let root = Root::open(folder.path()).unwrap();
        assert!(
            Root::open(folder.path())
                .unwrap_err()
                .to_string()
                .contains("another worker uses this folder")
        );
        let working = root.attempt(&job, 1).unwrap();
        fs::write(working.files().join("a"), "a").unwrap();
        let path = working.path().to_owned();
        drop(working);
        assert!(!path.exists());

        let left = root.attempt(&job, 2).unwrap();
        let path = left.path().to_owned();
        std::mem::forget(left);
        drop(root);
        assert!(path.exists());
        drop(Root::open(folder.path()).unwrap());
        assert!(!path.exists(), "what a crashed worker left is cleared away");
    }
}
