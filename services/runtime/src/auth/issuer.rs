//! The bundled issuer of tokens: Ed25519 keys, in the data directory unless they are kept elsewhere. The first signs, and the tokens of all of them
//! count, so that one can follow the other while both are in use.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

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

/// The `iss` of every token, whichever key signed it: who somebody is does not change with the keys.
const NAME: &str = "granary";
/// More keys than anybody changes between.
const MAX_KEYS: usize = 10;
const MAX_BYTES: u64 = 64 * 1024;
const NO_KEY: &str =
    "is no Ed25519 key in PKCS#8 form, as `openssl genpkey -algorithm ed25519` makes one";
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
    /// What signs, whose public half is the first.
    key: EncodingKey,
    public: Vec<Public>,
}

/// The public half of a key.
struct Public {
    id: String,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<_> = self.0.public.iter().map(|key| &key.id).collect();
        f.debug_tuple("Issuer").field(&ids).finish()
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
            write_private(file, to_pem(made.as_ref()).as_bytes()).map_err(|error| {
                unusable(file, &format!("cannot write the signing key: {error}"))
            })?;
        }
        Self::read(file)
    }

    /// Reads the keys in `file`, which must be there: Ed25519 keys in PKCS#8 form, one in DER or up to 10 in PEM, of which the first signs.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = read_some(file)
            .map_err(|error| unusable(file, &format!("cannot read the signing key: {error}")))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(unusable(file, "more than 64 KiB are no keys"));
        }
        let pem = str::from_utf8(&bytes).ok().map(from_pem);
        let keys = match pem {
            Some(keys) if !keys.is_empty() => keys,
            _ => vec![Some(bytes)],
        };
        if keys.len() > MAX_KEYS {
            return Err(unusable(file, &format!("expected at most {MAX_KEYS} keys")));
        }
        let usable =
            |key: &Option<Vec<u8>>| key.as_deref().is_some_and(|key| Public::of(key).is_some());
        if let Some(place) = keys.iter().position(|key| !usable(key)) {
            return Err(unusable(file, &not_a_key(place + 1, keys.len())));
        }
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        Self::from_pkcs8(&keys).ok_or_else(|| unusable(file, &not_a_key(1, 1)))
    }

    /// An issuer with a key of its own, for tests and for one run.
    pub fn ephemeral() -> Result<Self> {
        let pkcs8 = Ed25519KeyPair::generate()
            .and_then(|pair| pair.to_pkcs8())
            .ok();
        pkcs8
            .and_then(|key| Self::from_pkcs8(&[key.as_ref().to_vec()]))
            .ok_or_else(|| Error::Internal {
                context: "making a signing key".into(),
                cause: None,
            })
    }

    fn from_pkcs8(keys: &[Vec<u8>]) -> Option<Self> {
        let public: Option<Vec<_>> = keys.iter().map(|key| Public::of(key)).collect();
        Some(Self(Arc::new(Inner {
            key: EncodingKey::from_ed_der(keys.first()?),
            public: public?,
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
            iss: NAME.to_owned(),
            sub: subject.to_owned(),
            aud: AUDIENCE,
            iat: now,
            nbf: now,
            exp,
            jti: granary_core::id::new("t"),
            role: role.into(),
        };
        let header = Header {
            kid: self.0.public.first().map(|key| key.id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = jsonwebtoken::encode(&header, &claims, &self.0.key)
            .map_err(|error| Error::internal("issuing a token", error))?;
        Ok((token, exp))
    }

    /// The `iss` of its tokens.
    pub fn name(&self) -> &str {
        NAME
    }

    /// What verifies its tokens, and no others.
    pub fn verifier(&self) -> Verifier {
        Verifier::of(self)
    }

    /// Its public keys as a JSON web key set, for those who verify its tokens too.
    pub fn jwks(&self) -> Json {
        let keys = self.0.public.iter().map(|key| {
            let x = URL_SAFE_NO_PAD.encode(&key.bytes);
            json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.id, "x": x})
        });
        json!({"keys": keys.collect::<Vec<_>>()})
    }

    /// The keys that verify its tokens.
    pub(super) fn public_keys(&self) -> impl Iterator<Item = Key> {
        let keys = self.0.public.iter();
        keys.filter_map(|key| Key::ed25519(Some(key.id.clone()), &key.bytes))
    }
}

impl Public {
    fn of(pkcs8: &[u8]) -> Option<Self> {
        // One key and nothing behind it: the outer length, which is less than 128, is that of all.
        if pkcs8.get(1).map(|length| usize::from(*length) + 2) != Some(pkcs8.len()) {
            return None;
        }
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
        let bytes = pair.public_key().as_ref().to_vec();
        let digest = Sha256::digest(&bytes);
        let id = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
        Some(Self { id, bytes })
    }
}

fn read_some(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(file)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_a_key(place: usize, of: usize) -> String {
    match of {
        1 => format!("this {NO_KEY}; with another key, tokens issued so far end"),
        _ => format!("key {place} of {of} {NO_KEY}"),
    }
}

fn unusable(file: &Path, why: &str) -> Error {
    Error::precondition(file.display(), why)
}

fn to_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

// The bytes between each two lines of dashes; nothing for what is no base64, or another kind of key.
fn from_pem(text: &str) -> Vec<Option<Vec<u8>>> {
    let mut parts = text.split("-----BEGIN ");
    parts.next();
    let keys = parts.map(|part| {
        let part = part.strip_prefix("PRIVATE KEY-----")?;
        let (body, _) = part.split_once("-----END PRIVATE KEY-----")?;
        let body: String = body.split_whitespace().collect();
        STANDARD.decode(body).ok()
    });
    keys.collect()
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

    fn ids(issuer: &Issuer) -> Vec<String> {
        let keys = issuer.0.public.iter();
        keys.map(|key| key.id.clone()).collect()
    }

    fn pem(folder: &Path, name: &str) -> String {
        let file = folder.join(name);
        Issuer::open(&file).unwrap();
        fs::read_to_string(&file).unwrap()
    }

    #[test]
    fn a_key_is_read_as_der_and_as_pem() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let made = ids(&Issuer::open(&file).unwrap());
        assert_eq!(ids(&Issuer::open(&file).unwrap()), made);
        let text = pem(folder.path(), "key");
        let der = from_pem(&text).remove(0).unwrap();
        fs::write(&file, &der).unwrap();
        assert_eq!(ids(&Issuer::read(&file).unwrap()), made);
        // A second key would be overlooked.
        for wrong in ["nonsense".into(), [der, text.into_bytes()].concat()] {
            fs::write(&file, wrong).unwrap();
            let error = Issuer::read(&file).unwrap_err().to_string();
            assert!(error.contains("no Ed25519 key"), "{error}");
        }
        let missing = Issuer::read(&folder.path().join("none")).unwrap_err();
        assert!(
            missing.to_string().contains("cannot read the signing key"),
            "{missing}"
        );
    }

    #[tokio::test]
    async fn one_key_follows_the_other_while_both_are_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| pem(folder.path(), name));
        let file = folder.path().join("keys");
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            Issuer::read(&file).unwrap()
        };
        let steps = [
            old.clone(),
            format!("{old}{new}"),
            format!("{new}{old}"),
            new.clone(),
        ]
        .map(|text| read(&text));
        // Whatever signs at one step is accepted at this one and at those beside it, whichever servers are at which.
        for (at, signs) in steps.iter().enumerate() {
            let token = signs.issue("ada", Role::Administrator, Duration::from_secs(60));
            let token = token.unwrap().0;
            for verifies in &steps[at.saturating_sub(1)..(at + 2).min(steps.len())] {
                let ada = verifies.verifier().verify(&token).await.unwrap();
                assert_eq!(&*ada.issuer, NAME);
            }
            let far = if at < 2 { &steps[3] } else { &steps[0] };
            assert!(far.verifier().verify(&token).await.is_err());
        }
        assert_eq!(steps[1].jwks()["keys"].as_array().unwrap().len(), 2);
        let wrong = format!("{old}-----BEGIN PRIVATE KEY-----\n?\n-----END PRIVATE KEY-----\n");
        let other = format!("{old}{}", new.replace("PRIVATE", "EC PRIVATE"));
        for text in [wrong, other, old.repeat(11)] {
            fs::write(&file, text).unwrap();
            let error = Issuer::read(&file).unwrap_err().to_string();
            assert!(
                error.contains("key 2 of 2") || error.contains("at most 10"),
                "{error}"
            );
        }
    }
}
