//! The public keys of an issuer (RFC 7517): which of them can verify tokens, and which one verifies which.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use granary_core::{Error, Result};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value as Json;

use super::jwt::{Algorithm, NO_KEY_ID, Reason, UNKNOWN_KEY, WRONG_ALGORITHM};

/// No issuer has more.
const MAX_KEYS: usize = 100;

/// A public key, which verifies one kind of signature and no other.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
    retired: AtomicBool,
}

impl Key {
    /// The key of Ed25519 signatures with these bytes.
    pub(super) fn ed25519(id: Option<String>, bytes: &[u8]) -> Option<Self> {
        Some(Self::new(
            id,
            Algorithm::EdDsa,
            ParsedPublicKey::new(&ED25519, bytes).ok()?,
        ))
    }

    fn new(id: Option<String>, algorithm: Algorithm, public: ParsedPublicKey) -> Self {
        Self {
            id,
            algorithm,
            public,
            retired: AtomicBool::new(false),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    /// Whether its issuer has withdrawn it.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.id, self.algorithm, self.public.as_ref())
            == (&other.id, other.algorithm, other.public.as_ref())
    }
}

/// The keys of an issuer.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(Vec<Arc<Key>>);

impl FromIterator<Key> for Keys {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        Self(keys.into_iter().map(Arc::new).collect())
    }
}

/// What is new in a set of keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) added: usize,
    pub(super) removed: usize,
}

impl Keys {
    /// Reads a JSON web key set. Keys for other purposes and of other kinds are left out.
    pub(super) fn parse(set: Set) -> Result<Self> {
        if set.keys.len() > MAX_KEYS {
            let all = set.keys.len();
            return Err(Error::invalid(
                "keys",
                format!("expected at most {MAX_KEYS} keys, got {all}"),
            ));
        }
        let mut keys = Self::default();
        for (i, json) in set.keys.into_iter().enumerate() {
            match key(json) {
                Ok(key) => keys.0.push(Arc::new(key)),
                Err(why) => tracing::debug!(i, why, "a key of an issuer is left out"),
            }
        }
        Ok(keys)
    }

    /// These keys, as far as they are new, with those of before that are still among them; the others are retired.
    pub(super) fn after(self, before: &Self) -> (Self, Change) {
        let known = |key: &Arc<Key>| before.0.iter().find(|old| old.is_same(key)).cloned();
        let mut added = 0;
        let now: Vec<_> = self
            .0
            .into_iter()
            .map(|key| {
                known(&key).unwrap_or_else(|| {
                    added += 1;
                    key
                })
            })
            .collect();
        let gone = before
            .0
            .iter()
            .filter(|old| !now.iter().any(|key| Arc::ptr_eq(key, old)));
        let removed = gone
            .inspect(|key| key.retired.store(true, Ordering::Release))
            .count();
        (Self(now), Change { added, removed })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key for a token with this header.
    pub(super) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Arc<Key>, Reason> {
        let fits = |key: &&Arc<Key>| key.algorithm == algorithm;
        let Some(id) = id else {
            let mut fitting = self.0.iter().filter(fits);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key.clone()),
                (Some(_), Some(_)) => Err(NO_KEY_ID),
                (None, _) => Err(UNKNOWN_KEY),
            };
        };
        let mut named = self
            .0
            .iter()
            .filter(|key| key.id.as_deref() == Some(id))
            .peekable();
        if named.peek().is_none() {
            return Err(UNKNOWN_KEY);
        }
        named.find(fits).cloned().ok_or(WRONG_ALGORITHM)
    }
}

/// A JSON web key set, as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Set {
    keys: Vec<Json>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    // A private key that lies open is everybody's.
    d: Option<IgnoredAny>,
}

fn key(json: Json) -> Result<Key, &'static str> {
    let jwk: Jwk = serde_json::from_value(json).map_err(|_| "malformed")?;
    if jwk.d.is_some() {
        return Err("a private key");
    }
    let purpose = jwk
        .purpose
        .as_deref()
        .is_none_or(|purpose| purpose == "sig");
    let operations = jwk
        .key_ops
        .as_ref()
        .is_none_or(|all| all.iter().any(|one| one == "verify"));
    if !purpose || !operations {
        return Err("for another purpose");
    }
    let (algorithm, public) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (Algorithm::Rs256, rsa(&jwk)),
        ("EC", Some("P-256")) => (Algorithm::Es256, ec(&jwk)),
        ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, ed(&jwk)),
        _ => return Err("of another kind"),
    };
    if let Some(named) = jwk.alg.as_deref()
        && Algorithm::parse(named) != Some(algorithm)
    {
        return Err("for another algorithm");
    }
    Ok(Key::new(
        jwk.kid,
        algorithm,
        public.ok_or("not a public key")?,
    ))
}

fn rsa(jwk: &Jwk) -> Option<ParsedPublicKey> {
    let (n, e) = (number(jwk.n.as_deref())?, number(jwk.e.as_deref())?);
    // The exact bounds are checked with each signature; this only tells early.
    if !(256..=1024).contains(&n.len()) {
        return None;
    }
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .ok()
}

fn ec(jwk: &Jwk) -> Option<ParsedPublicKey> {
    let (x, y) = (bytes(jwk.x.as_deref())?, bytes(jwk.y.as_deref())?);
    if (x.len(), y.len()) != (32, 32) {
        return None;
    }
    // The form of an uncompressed point (SEC 1, 2.3.3).
    let point = [&[4][..], &x, &y].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
}

fn ed(jwk: &Jwk) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(&ED25519, bytes(jwk.x.as_deref())?).ok()
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

// Some issuers write a leading zero, which says that it is no negative number.
fn number(text: Option<&str>) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes.into_iter().skip(zeros).collect())
}
