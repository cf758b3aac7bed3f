//! Where logins are kept: a file for each server, for the owner's eyes only.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
};

use granary_core::{Error, Result};
use granary_runtime::{auth::write_private, secret::Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Grant, Terms};
use crate::{human, paths};

/// The login at one server.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    endpoint: String,
    file: PathBuf,
}

/// A login as it is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    // For people who look into the file.
    endpoint: String,
    pub(crate) terms: Terms,
    pub(crate) token: String,
    pub(crate) expires: i64,
    pub(crate) refresh: Option<String>,
}

impl Store {
    /// That at a server.
    pub(crate) fn of(endpoint: &str) -> Result<Self> {
        let folder = paths::logins_dir().ok_or_else(|| {
            Error::precondition(
                "~/.config",
                "there is no folder for settings: set HOME or XDG_CONFIG_HOME",
            )
        })?;
        let digest = Sha256::digest(endpoint);
        let name: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self {
            endpoint: endpoint.to_owned(),
            file: folder.join(format!("{name}.json")),
        })
    }

    /// The login, if there is one.
    pub(crate) fn read(&self) -> Result<Option<Kept>> {
        let text = match fs::read(&self.file) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(self.failed("read", &error)),
        };
        let kept = serde_json::from_slice(&text).map_err(|_| {
            Error::precondition(
                self.file.display(),
                "this is not a login: remove it and run `granary login` again",
            )
        })?;
        Ok(Some(kept))
    }

    /// Keeps a login, in place of what was there.
    pub(crate) fn write(&self, terms: &Terms, grant: &Grant) -> Result<()> {
        let kept = Kept {
            endpoint: self.endpoint.clone(),
            terms: terms.clone(),
            token: grant.token.reveal().to_owned(),
            expires: grant.expires,
            refresh: grant
                .refresh
                .as_ref()
                .map(|token| token.reveal().to_owned()),
        };
        let text = serde_json::to_vec_pretty(&kept)
            .map_err(|error| Error::internal("writing a login", error))?;
        self.make_folder()?;
        write_private(&self.file, &text).map_err(|error| self.failed("write", &error))
    }

    /// Forgets the login.
    pub(crate) fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if !is_absent(&error) => Err(self.failed("remove", &error)),
            _ => Ok(()),
        }
    }

    /// Waits until no other command renews the login; holds it as long as the file lives. Blocks.
    pub(crate) fn lock(&self) -> Result<File> {
        self.make_folder()?;
        let lock = || {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(self.file.with_extension("lock"))?;
            file.lock().map(|()| file)
        };
        lock().map_err(|error| self.failed("lock", &error))
    }

    fn make_folder(&self) -> Result<()> {
        let folder = self.file.parent().unwrap_or(&self.file);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| self.failed("make a folder for", &error))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Error {
        let why = human::io_error(error);
        Error::precondition(
            self.file.display(),
            format!("cannot {what} the login: {why}"),
        )
    }
}

impl Kept {
    /// What the issuer gave.
    pub(crate) fn grant(&self) -> Grant {
        Grant {
            token: Secret::new(&self.token),
            expires: self.expires,
            refresh: self.refresh.as_ref().map(Secret::new),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
