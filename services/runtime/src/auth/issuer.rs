//! The bundled issuer of tokens: an Ed25519 key, in the data directory unless it is kept elsewhere.

use std::{fs, io::Write as _, path::Path, sync::Arc, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use granary_core::{Error, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::{Role, Verifier, keys::Key};

/// The audience of every token.
pub(super) const AUDIENCE: &str = "granary";
/// Who launches jobs in a cluster, and whom their pods speak as, with the role of a worker.
pub const LAUNCHER: &str = "worker:kubernetes";
/// The claim of the role for all projects.
pub(super) const ROLE: &str = "granary/role";

/// What a token says.
#[derive(Debug, Serialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: &'static str,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    // The name of `ROLE`.
    #[serde(rename = "granary/role", skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
}

/// Issues tokens.
#[derive(Clone)]
pub struct Issuer(Arc<Inner>);

struct Inner {
    name: String,
    key_id: String,
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
        if !file.exists() {
            let made = Ed25519KeyPair::generate()
                .and_then(|pair| pair.to_pkcs8())
                .map_err(|_| Error::Internal {
                    context: "making a signing key".into(),
                    cause: None,
                })?;
            write_private(file, made.as_ref()).map_err(|error| {
                unusable(file, &format!("cannot write the signing key: {error}"))
            })?;
        }
        Self::read(file)
    }

    /// Reads the key in `file`, which must be there: an Ed25519 key in PKCS#8 form, PEM or DER.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file)
            .map_err(|error| unusable(file, &format!("cannot read the signing key: {error}")))?;
        let pkcs8 = match str::from_utf8(&bytes).ok().and_then(from_pem) {
            Some(der) => der,
            None => bytes,
        };
        Self::from_pkcs8(&pkcs8).ok_or_else(|| {
            unusable(file, "this is no Ed25519 key in PKCS#8 form, as `openssl genpkey -algorithm ed25519` makes one; with another key, tokens issued so far end")
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
        let key_id: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
        Some(Self(Arc::new(Inner {
            name: format!("granary:{key_id}"),
            key_id,
            key: EncodingKey::from_ed_der(pkcs8),
            public,
        })))
    }

    /// A token for `subject`, and when it ends in seconds since 1970. Without a role for all projects, it has those that projects give it.
    pub fn issue(
        &self,
        subject: &str,
        role: impl Into<Option<Role>>,
        lifetime: Duration,
    ) -> Result<(String, i64)> {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let exp = now.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let claims = Claims {
            iss: self.0.name.clone(),
            sub: subject.to_owned(),
            aud: AUDIENCE,
            iat: now,
            nbf: now,
            exp,
            jti: granary_core::id::new("t"),
            role: role.into(),
        };
        let header = Header {
            kid: Some(self.0.key_id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = jsonwebtoken::encode(&header, &claims, &self.0.key)
            .map_err(|error| Error::internal("issuing a token", error))?;
        Ok((token, exp))
    }

    /// The `iss` of its tokens.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What verifies its tokens, and no others.
    pub fn verifier(&self) -> Verifier {
        Verifier::of(self)
    }

    /// Its public key as a JSON web key set, for those who verify its tokens too.
    pub fn jwks(&self) -> Json {
        let x = URL_SAFE_NO_PAD.encode(&self.0.public);
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.0.key_id, "x": x}]})
    }

    /// The key that verifies its tokens. The key id is for others: its own tokens of before had none.
    pub(super) fn public_key(&self) -> Option<Key> {
        Key::ed25519(Some(self.0.key_id.clone()), &self.0.public)
    }
}

fn unusable(file: &Path, why: &str) -> Error {
    Error::precondition(file.display(), why)
}

// The bytes between the first two lines of dashes.
fn from_pem(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    STANDARD
        .decode(body.split_whitespace().collect::<String>())
        .ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_der_and_as_pem() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let made = Issuer::open(&file).unwrap();
        assert_eq!(Issuer::open(&file).unwrap().name(), made.name());
        let text = STANDARD.encode(fs::read(&file).unwrap());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        fs::write(&file, pem).unwrap();
        assert_eq!(Issuer::read(&file).unwrap().name(), made.name());
        fs::write(&file, "nonsense").unwrap();
        assert!(
            Issuer::read(&file)
                .unwrap_err()
                .to_string()
                .contains("no Ed25519 key")
        );
        let missing = Issuer::read(&folder.path().join("none")).unwrap_err();
        assert!(
            missing.to_string().contains("cannot read the signing key"),
            "{missing}"
        );
    }
}
