//! Verifies tokens and keeps the verdicts until the tokens end.

use std::{num::NonZeroUsize, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::{
    Principal,
    issuer::{AUDIENCE, Claims},
};

const CACHED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
const MAX_TOKEN_BYTES: usize = 8 * 1024;
const CLOCK_SKEW_SECONDS: u64 = 30;

/// Verifies the tokens of one issuer.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    key: DecodingKey,
    validation: Validation,
    // By the digest, so that no token stays in memory. Only good verdicts are kept.
    cache: Mutex<LruCache<[u8; 32], Principal>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    pub(super) fn new(issuer: &str, public_key: &[u8]) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub", "nbf"]);
        validation.validate_nbf = true;
        validation.leeway = CLOCK_SKEW_SECONDS;
        Self(Arc::new(Inner {
            key: DecodingKey::from_ed_der(public_key),
            validation,
            cache: Mutex::new(LruCache::new(CACHED)),
        }))
    }

    /// Whom a token stands for; or why it is refused, in words for the log that hold nothing of the token.
    pub fn verify(&self, token: &str) -> Result<Principal, &'static str> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err("too long");
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(principal) = self.0.cache.lock().get(&digest) {
            let now = time::OffsetDateTime::now_utc().unix_timestamp();
            if principal
                .expires
                .saturating_add_unsigned(CLOCK_SKEW_SECONDS)
                > now
            {
                return Ok(principal.clone());
            }
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.0.key, &self.0.validation)
            .map_err(|error| reason(error.kind()))?
            .claims;
        let principal = Principal {
            subject: claims.sub.into(),
            issuer: claims.iss.into(),
            role: claims.role,
            expires: claims.exp,
        };
        self.0.cache.lock().put(digest, principal.clone());
        Ok(principal)
    }
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "bad signature",
        ErrorKind::ExpiredSignature => "expired",
        ErrorKind::ImmatureSignature => "not yet valid",
        ErrorKind::InvalidIssuer => "foreign issuer",
        ErrorKind::InvalidAudience => "foreign audience",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "wrong algorithm",
        ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        _ => "malformed",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Issuer, Role};
    use super::*;

    #[test]
    fn own_tokens_are_accepted_and_say_who_it_is() {
        let issuer = Issuer::ephemeral().unwrap();
        let (token, expires) = issuer
            .issue("ada", Role::Administrator, Duration::from_secs(60))
            .unwrap();
        let verifier = issuer.verifier();
        for _ in 0..2 {
            let principal = verifier.verify(&token).unwrap();
            assert_eq!(
                (&*principal.subject, principal.role, principal.expires),
                ("ada", Role::Administrator, expires)
            );
        }
    }

    #[test]
    fn foreign_changed_and_malformed_tokens_are_told_apart_in_the_log() {
        let issuer = Issuer::ephemeral().unwrap();
        let verifier = issuer.verifier();
        let foreign = Issuer::ephemeral()
            .unwrap()
            .issue("ada", Role::Administrator, Duration::from_secs(60))
            .unwrap()
            .0;
        assert_eq!(verifier.verify(&foreign), Err("bad signature"));
        let good = issuer
            .issue("ada", Role::Worker, Duration::from_secs(60))
            .unwrap()
            .0;
        let parts: Vec<_> = good.split('.').collect();
        let other = issuer
            .issue("eve", Role::Administrator, Duration::from_secs(60))
            .unwrap()
            .0;
        let claims = other.split('.').nth(1).unwrap();
        assert_eq!(
            verifier.verify(&format!("{}.{claims}.{}", parts[0], parts[2])),
            Err("bad signature")
        );
        assert_eq!(verifier.verify("nonsense"), Err("malformed"));
        assert_eq!(verifier.verify(&"x".repeat(100_000)), Err("too long"));
    }

    #[test]
    fn algorithm_confusion_is_refused() {
        let issuer = Issuer::ephemeral().unwrap();
        let header = jsonwebtoken::Header::new(Algorithm::HS256);
        let claims = serde_json::json!({"iss": issuer.name(), "sub": "eve", "aud": AUDIENCE, "exp": 4_000_000_000_i64, "nbf": 0,
            "iat": 0, "jti": "x", "granary/role": "administrator"});
        let token = jsonwebtoken::encode(
            &header,
            &claims,
            &jsonwebtoken::EncodingKey::from_secret(b"x"),
        )
        .unwrap();
        assert_eq!(issuer.verifier().verify(&token), Err("wrong algorithm"));
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmUifQ.";
        assert!(issuer.verifier().verify(none).is_err());
    }
}
