//! Tokens of API keys in files, for their owner's eyes only. They are worth little and for minutes, and whatever goes wrong with them is no
//! reason for a command to fail: the key is exchanged once more.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use granary_core::name::ProjectName;
use granary_runtime::{auth::write_private, secret::Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::paths;

/// How many files there are at most; the oldest go.
const MOST: usize = 32;

/// Where the token of one key at one server is.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    file: PathBuf,
}

/// What is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    /// The id of the project that the key is of, for good.
    pub(super) project: String,
    pub(super) token: String,
    /// When it ends, in seconds since 1970 by this machine's clock.
    pub(super) expires: i64,
}

impl Store {
    /// That of a key at a server; nothing on a machine that has no place for it.
    pub(crate) fn of(endpoint: &str, key: &Secret) -> Option<Self> {
        Some(Self::within(&paths::tokens_dir()?, endpoint, key))
    }

    /// The same in a folder. Its name says nothing of the key, which is random enough not to be found by its digest.
    pub(super) fn within(folder: &Path, endpoint: &str, key: &Secret) -> Self {
        let digest = Sha256::new()
            .chain_update(endpoint)
            .chain_update([0])
            .chain_update(key.reveal())
            .finalize();
        let name: String = digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            folder: folder.to_owned(),
            file: folder.join(name).with_extension("json"),
        }
    }

    /// The project of the key, if it was used here before.
    pub(crate) fn project(&self) -> Option<ProjectName> {
        ProjectName::new(self.read()?.project).ok()
    }

    pub(super) fn read(&self) -> Option<Kept> {
        serde_json::from_slice(&fs::read(&self.file).ok()?).ok()
    }

    pub(super) fn write(&self, kept: &Kept) {
        let written = || -> io::Result<()> {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.folder)?;
            write_private(&self.file, &serde_json::to_vec(kept)?)?;
            self.sweep()
        };
        if let Err(error) = written() {
            tracing::debug!(%error, "cannot keep the token of the API key");
        }
    }

    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.file);
    }

    fn sweep(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .filter(|(_, file)| *file != self.file)
            .collect();
        files.sort();
        let more = (files.len() + 1).saturating_sub(MOST);
        for (_, file) in files.into_iter().take(more) {
            let _ = fs::remove_file(file);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept(token: &str) -> Kept {
        Kept {
            project: "lab".into(),
            token: token.into(),
            expires: 1,
        }
    }

    fn store(folder: &Path, endpoint: &str, key: &str) -> Store {
        Store::within(folder, endpoint, &Secret::new(key))
    }

    #[test]
    fn a_token_is_kept_for_its_owner_by_server_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("granary/tokens");
        let one = store(&folder, "http://a", "granary_1");
        assert_eq!(one.project(), None);
        one.write(&kept("t"));
        assert_eq!(one.read().unwrap().token, "t");
        // It has ended, and yet says the project.
        assert_eq!(one.project().unwrap().project, "lab");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&one.file), mode(&folder)), (0o600, 0o700));
        assert!(!one.file.display().to_string().contains("granary_1"));
        for other in [
            store(&folder, "http://b", "granary_1"),
            store(&folder, "http://a", "granary_2"),
        ] {
            assert!(other.read().is_none());
        }
        fs::write(&one.file, "half a fi").unwrap();
        assert!(one.read().is_none());
        one.write(&kept("u"));
        one.remove();
        assert!(one.read().is_none());
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let key = |number: usize| store(folder.path(), "http://a", &number.to_string());
        for number in 0..MOST {
            key(number).write(&kept("t"));
            let file = fs::File::options()
                .write(true)
                .open(&key(number).file)
                .unwrap();
            let age = std::time::Duration::from_secs(1000 - number as u64);
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        key(MOST).write(&kept("t"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST);
        assert!(key(0).read().is_none() && key(1).read().is_some() && key(MOST).read().is_some());
    }
}
