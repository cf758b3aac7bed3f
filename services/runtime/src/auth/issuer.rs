//! The bundled issuer of tokens, for the embedded mode: an Ed25519 key in the data directory.

use std::{fs, io::Write as _, path::Path, sync::Arc, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use granary_core::{Error, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Role, Verifier};

/// The audience of every token.
pub(super) const AUDIENCE: &str = "granary";

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: String,
    #[serde(rename = "granary/role")]
    pub role: Role,
}

/// Issues tokens.
#[derive(Clone)]
pub struct Issuer(Arc<Inner>);

struct Inner {
    name: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({})", self.0.name)
    }
}

impl Issuer {
    /// Reads the key in `file`, or makes one there at first start, readable by its owner only.
    pub fn open(file: &Path) -> Result<Self> {
        let failed = |what: &str, error: std::io::Error| {
            Error::precondition(
                file.display(),
                format!("cannot {what} the signing key: {error}"),
            )
        };
        let pkcs8 = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate()
                    .and_then(|pair| pair.to_pkcs8())
                    .map_err(|_| Error::Internal {
                        context: "making a signing key".into(),
                        cause: None,
                    })?;
                write_private(file, made.as_ref()).map_err(|error| failed("write", error))?;
                made.as_ref().to_vec()
            }
            Err(error) => return Err(failed("read", error)),
        };
        Self::from_pkcs8(&pkcs8).ok_or_else(|| {
            Error::precondition(file.display(), "this is not a signing key: remove it to have a new one made; tokens issued so far then end")
        })
    }

    /// An issuer with a key of its own, for tests and for one run.
    pub fn ephemeral() -> Result<Self> {
        let pkcs8 = Ed25519KeyPair::generate()
            .and_then(|pair| pair.to_pkcs8())
            .ok();
        pkcs8
            .and_then(|key| Self::from_pkcs8(key.as_ref()))
            .ok_or_else(|| Error::Internal {
                context: "making a signing key".into(),
                cause: None,
            })
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        let digest = Sha256::digest(&public);
        let name = format!(
            "granary:{}",
            digest[..8]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        );
        Some(Self(Arc::new(Inner {
            name,
            key: EncodingKey::from_ed_der(pkcs8),
            public,
        })))
    }

    /// A token for `subject`, and when it ends in seconds since 1970.
    pub fn issue(&self, subject: &str, role: Role, lifetime: Duration) -> Result<(String, i64)> {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let exp = now.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let claims = Claims {
            iss: self.0.name.clone(),
            sub: subject.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            nbf: now,
            exp,
            jti: granary_core::id::new("t"),
            role,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.0.key)
            .map_err(|error| Error::internal("issuing a token", error))?;
        Ok((token, exp))
    }

    /// The `iss` of its tokens.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What verifies its tokens.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(&self.0.name, &self.0.public)
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary = file.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&temporary, file)?;
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
