//! The data directory: one server at a time, never one that a newer version wrote, secrets for the owner's eyes only.

use std::{
    fs::{self, File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use granary_core::{Error, Result};
use granary_runtime::{
    auth::{Issuer, Role, write_private},
    secret::Secret,
};

// Raised when an older version could no longer read what is written.
const FORMAT: u32 = 1;
const LOCAL_TOKEN_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A data directory that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Held as long as the process lives; the system lets go of it even after a kill.
    _lock: File,
}

/// The keys of the embedded object store.
#[derive(Debug)]
pub(super) struct StoreKeys {
    pub access_key: String,
    pub secret_key: Secret,
}

impl DataDir {
    /// Opens a data directory, and makes it at first start.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::precondition(
                path.display(),
                format!("cannot use it as data directory ({error}): give another with --data-dir"),
            )
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let lock = lock(path).map_err(|error| match error {
            LockError::Io(error) => failed(error),
            LockError::Held(holder) => Error::precondition(
                path.display(),
                format!("another granary serve uses it{holder}: stop that one, or give another with --data-dir"),
            ),
        })?;
        check_format(path)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The one there is, for what cannot be anywhere else.
    pub(super) fn needed(data: Option<&Self>) -> Result<&Self> {
        data.ok_or_else(|| Error::precondition("data_dir", "there is none, and it is needed"))
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The bundled issuer, with its key made at first start.
    pub(super) fn issuer(&self) -> Result<Issuer> {
        Issuer::open(&self.join("issuer-key"))
    }

    /// Where the local administrator's token is.
    pub fn token_file(&self) -> PathBuf {
        self.join("token")
    }

    /// Sees to it that there is a token of the local administrator with time left.
    pub(super) async fn ensure_token(&self, issuer: &Issuer) -> Result<()> {
        let file = self.token_file();
        if let Ok(token) = fs::read_to_string(&file)
            && let Ok(principal) = issuer.verifier().verify(token.trim()).await
        {
            let now = time::OffsetDateTime::now_utc().unix_timestamp();
            if principal.expires > now.saturating_add_unsigned(RENEW_BEFORE.as_secs()) {
                return Ok(());
            }
        }
        let (token, _) = issuer.issue(
            "local-administrator",
            Role::Administrator,
            LOCAL_TOKEN_LIFETIME,
        )?;
        write_private(&file, format!("{token}\n").as_bytes()).map_err(|error| {
            Error::precondition(
                file.display(),
                format!("cannot write the local administrator's token: {error}"),
            )
        })
    }

    /// Sees to it that there is no token of a local administrator, which would be refused.
    pub(super) fn remove_token(&self) -> Result<()> {
        let file = self.token_file();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::precondition(
                file.display(),
                format!("cannot remove the local administrator's token: {error}"),
            )),
            _ => Ok(()),
        }
    }

    /// The keys of the embedded store, made at first start, in the form that the aws command and boto3 read.
    pub(super) fn store_keys(&self) -> Result<StoreKeys> {
        let file = self.join("s3-credentials");
        match fs::read_to_string(&file) {
            Ok(text) => parse_keys(&text).ok_or_else(|| {
                Error::precondition(file.display(), "expected aws_access_key_id and aws_secret_access_key: remove the file to have new ones made")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let keys = StoreKeys {
                    access_key: format!("GRANARY{}", random_text().to_uppercase().chars().take(13).collect::<String>()),
                    secret_key: Secret::new(format!("{}{}", random_text(), random_text())),
                };
                let text = format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", keys.access_key, keys.secret_key.reveal());
                write_private(&file, text.as_bytes())
                    .map_err(|error| Error::precondition(file.display(), format!("cannot write the keys of the object store: {error}")))?;
                Ok(keys)
            }
            Err(error) => Err(Error::precondition(file.display(), format!("cannot read the keys of the object store: {error}"))),
        }
    }
}

fn random_text() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn parse_keys(text: &str) -> Option<StoreKeys> {
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().to_owned())
    };
    Some(StoreKeys {
        access_key: value("aws_access_key_id")?,
        secret_key: Secret::new(value("aws_secret_access_key")?),
    })
}

enum LockError {
    Io(std::io::Error),
    Held(String),
}

fn lock(path: &Path) -> Result<File, LockError> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join("lock"))
        .map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.take(20).read_to_string(&mut holder);
            let holder = holder.trim();
            return Err(LockError::Held(if holder.is_empty() {
                String::new()
            } else {
                format!(" (process {holder})")
            }));
        }
        Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(LockError::Io)?;
    Ok(file)
}

fn check_format(path: &Path) -> Result<()> {
    let file = path.join("format");
    let found = match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse::<u32>().ok(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return write_private(&file, format!("{FORMAT}\n").as_bytes()).map_err(|error| {
                Error::precondition(file.display(), format!("cannot be written: {error}"))
            });
        }
        Err(error) => {
            return Err(Error::precondition(
                file.display(),
                format!("cannot be read: {error}"),
            ));
        }
    };
    match found {
        Some(found) if found <= FORMAT => Ok(()),
        Some(found) => Err(Error::precondition(
            path.display(),
            format!(
                "a newer version of granary wrote this data directory (format {found}, this version knows up to {FORMAT}): start that version"
            ),
        )),
        None => Err(Error::precondition(
            file.display(),
            "expected the number of the data directory's format: restore the file from a backup",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_second_server_is_refused_by_name_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id()))
                && error.contains("--data-dir"),
            "{error}"
        );
        drop(first);
        DataDir::open(folder.path()).unwrap();
    }

    #[test]
    fn a_directory_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("format"), "2\n").unwrap();
        let error = DataDir::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("newer version"), "{error}");
    }

    #[tokio::test]
    async fn secrets_are_for_the_owner_and_stay_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let issuer = data.issuer().unwrap();
        data.ensure_token(&issuer).await.unwrap();
        let token = fs::read_to_string(data.token_file()).unwrap();
        let keys = data.store_keys().unwrap();
        data.ensure_token(&data.issuer().unwrap()).await.unwrap();
        assert_eq!(fs::read_to_string(data.token_file()).unwrap(), token);
        assert_eq!(data.store_keys().unwrap().secret_key, keys.secret_key);
        for name in ["token", "s3-credentials", "issuer-key"] {
            let mode = fs::metadata(data.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        data.remove_token().unwrap();
        data.remove_token().unwrap();
        assert!(!data.token_file().exists());
    }
}
