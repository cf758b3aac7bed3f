//! Logins of people at an issuer outside: how one comes about, where it is kept, and how its tokens are renewed.

mod device;
mod provider;
mod source;
mod store;

use std::path::PathBuf;

use granary_runtime::secret::Secret;
use serde::{Deserialize, Serialize};

pub(crate) use provider::{Provider, claims};
pub(crate) use source::LoginSource;
pub(crate) use store::{Kept, Store};

/// Where and as what to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) audience: Option<String>,
    pub(crate) scope: String,
    /// Whether the ID token is sent.
    pub(crate) id_token: bool,
    /// Certificate authorities that are trusted beside those of this machine.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
}

/// What an issuer gave.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// What is sent to the server.
    pub(crate) token: Secret,
    /// When it ends, in seconds since 1970 by this machine's clock.
    pub(crate) expires: i64,
    /// With which there is another one, if the issuer gives such.
    pub(crate) refresh: Option<Secret>,
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}
