//! Where things are kept on this machine.

use std::path::PathBuf;

use crate::environment;

/// Where the server keeps everything, and where the local token is: `GRANARY_DATA_DIR`, or else the platform's place for data, such as
/// `~/.local/share/granary`.
pub fn default_data_dir() -> PathBuf {
    named_data_dir().unwrap_or_else(|| dirs::data_dir().unwrap_or_default().join("granary"))
}

/// The data directory of `GRANARY_DATA_DIR`.
pub(crate) fn named_data_dir() -> Option<PathBuf> {
    environment::path("GRANARY_DATA_DIR")
}

/// The file of settings where nothing names another, such as `~/.config/granary/config.toml`.
pub(crate) fn default_config_file() -> Option<PathBuf> {
    dirs::config_dir().map(|folder| folder.join("granary").join("config.toml"))
}

/// Where tokens of API keys are kept, such as `~/.cache/granary/tokens`.
pub(crate) fn tokens_dir() -> Option<PathBuf> {
    dirs::cache_dir().map(|folder| folder.join("granary").join("tokens"))
}

/// Where logins are kept, such as `~/.config/granary/logins`.
pub(crate) fn logins_dir() -> Option<PathBuf> {
    dirs::config_dir().map(|folder| folder.join("granary").join("logins"))
}
