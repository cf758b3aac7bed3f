//! Verifies tokens and keeps the verdicts until the tokens end or their keys are withdrawn.

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc, time::Duration};

use granary_core::{
    Error, Result,
    clock::{SharedClock, SystemClock},
};
use lru::LruCache;
use parking_lot::Mutex;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::{
    Issuer, Principal, Role,
    issuer::{AUDIENCE, LAUNCHER, ROLE},
    jwt::{
        self, Claims, FOREIGN_AUDIENCE, FOREIGN_ISSUER, MALFORMED, OWN_FORBIDDEN, Reason, TOO_LONG,
        Token,
    },
    keys::{Key, Keys},
    oidc::{Keyring, OidcIssuer, Timing},
};
use crate::task::Tasks;

const CACHED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How far clocks may differ if nothing else is set.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Verifies tokens. Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    // By the `iss` of their tokens.
    issuers: HashMap<Box<str>, Trusted>,
    skew: i64,
    clock: SharedClock,
    // By the digest, so that no token stays in memory. Only good verdicts are kept.
    cache: Mutex<LruCache<[u8; 32], Verdict>>,
}

enum Trusted {
    Own { keys: Keys, alone: bool },
    Oidc(Arc<Keyring>),
}

/// Good as long as the key is.
struct Verdict {
    principal: Principal,
    key: Arc<Key>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Verifier")
            .field(&self.0.issuers.keys())
            .finish()
    }
}

impl Verifier {
    /// For the tokens of the bundled issuer and no others.
    pub(super) fn of(own: &Issuer) -> Self {
        let issuers = HashMap::from([own_issuer(own, true)]);
        Self::new(issuers, CLOCK_SKEW, Arc::new(SystemClock))
    }

    /// For the tokens of these issuers, whose keys a task keeps fresh, and those of the bundled one. If there are any, that one is left with
    /// the tokens of API keys and services: people and machines come from elsewhere. Fails for settings that cannot work.
    pub fn trusting(
        own: &Issuer,
        oidc: &[OidcIssuer],
        clock_skew: Duration,
        tasks: &Tasks,
    ) -> Result<Self> {
        Self::timed(
            own,
            oidc,
            clock_skew,
            tasks,
            Timing::default(),
            Arc::new(SystemClock),
        )
    }

    pub(super) fn timed(
        own: &Issuer,
        oidc: &[OidcIssuer],
        clock_skew: Duration,
        tasks: &Tasks,
        timing: Timing,
        clock: SharedClock,
    ) -> Result<Self> {
        let mut issuers = HashMap::from([own_issuer(own, oidc.is_empty())]);
        for (i, issuer) in oidc.iter().enumerate() {
            let at = |error: Error| error.within(&format!("oidc[{i}]"));
            issuer.check().map_err(at)?;
            let ring = Keyring::start(issuer.clone(), timing, tasks).map_err(at)?;
            let name = issuer.issuer.as_str().into();
            if issuers.insert(name, Trusted::Oidc(ring)).is_some() {
                return Err(at(Error::invalid(
                    "issuer",
                    "comes twice: put its audiences together",
                )));
            }
        }
        Ok(Self::new(issuers, clock_skew, clock))
    }

    fn new(issuers: HashMap<Box<str>, Trusted>, skew: Duration, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            issuers,
            skew: i64::try_from(skew.as_secs()).unwrap_or(i64::MAX),
            clock,
            cache: Mutex::new(LruCache::new(CACHED)),
        }))
    }

    /// Whom a token stands for; or why it is refused. Waits for the issuer only if its key is not known yet.
    pub async fn verify(&self, token: &str) -> Result<Principal, Reason> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TOO_LONG);
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(principal) = self.kept(&digest) {
            return Ok(principal);
        }
        let token = Token::parse(token)?;
        let issuer = self.0.issuers.get(token.issuer()?).ok_or(FOREIGN_ISSUER)?;
        let key = issuer.key(&token).await?;
        token.check_signature(&key)?;
        let expires = token.check_times(self.now(), self.0.skew)?;
        let principal = issuer.principal(&token.claims, expires)?;
        let verdict = Verdict {
            principal: principal.clone(),
            key,
        };
        self.0.cache.lock().put(digest, verdict);
        Ok(principal)
    }

    /// How long a verified token still counts.
    pub(super) fn left(&self, principal: &Principal) -> Duration {
        let ends = principal.expires.saturating_add(self.0.skew);
        let left = ends.saturating_sub(self.now());
        Duration::from_secs(u64::try_from(left).unwrap_or(0))
    }

    fn kept(&self, digest: &[u8; 32]) -> Option<Principal> {
        let mut cache = self.0.cache.lock();
        let verdict = cache.get(digest)?;
        let lasts = verdict.principal.expires.saturating_add(self.0.skew) > self.now();
        if lasts && !verdict.key.is_retired() {
            return Some(verdict.principal.clone());
        }
        cache.pop(digest);
        None
    }

    fn now(&self) -> i64 {
        self.0.clock.now().unix_timestamp()
    }
}

fn own_issuer(own: &Issuer, alone: bool) -> (Box<str>, Trusted) {
    let keys = own.public_keys().collect();
    (own.name().into(), Trusted::Own { keys, alone })
}

impl Trusted {
    async fn key(&self, token: &Token<'_>) -> Result<Arc<Key>, Reason> {
        let id = token.key_id.as_deref();
        match self {
            Self::Own { keys, .. } => keys.find(token.algorithm, id),
            Self::Oidc(ring) => ring.find(token.algorithm, id).await,
        }
    }

    fn principal(&self, claims: &Claims, expires: i64) -> Result<Principal, Reason> {
        match self {
            Self::Own { alone, .. } => own_principal(claims, expires, *alone),
            Self::Oidc(ring) => ring.issuer().principal(claims, expires),
        }
    }
}

fn own_principal(claims: &Claims, expires: i64, alone: bool) -> Result<Principal, Reason> {
    if !jwt::is_for(claims, &[AUDIENCE.to_owned()])? {
        return Err(FOREIGN_AUDIENCE);
    }
    let role = match claims.get(ROLE) {
        None => None,
        Some(Json::String(name)) => Some(Role::of_platform(name).ok_or(MALFORMED)?),
        Some(_) => return Err(MALFORMED),
    };
    let principal = Principal {
        subject: jwt::text(claims, "sub")?.into(),
        issuer: jwt::text(claims, "iss")?.into(),
        email: None,
        role,
        expires,
    };
    let of_a_key = role.is_none() && principal.home().is_some();
    // Tokens for others are not made where there are issuers outside: only Job itself makes one with this subject.
    let of_a_pod = role == Some(Role::Worker) && &*principal.subject == LAUNCHER;
    if alone || role == Some(Role::Service) || of_a_key || of_a_pod {
        Ok(principal)
    } else {
        Err(OWN_FORBIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use granary_core::clock::ManualClock;
    use serde_json::json;

    use super::super::jwt::{BAD_SIGNATURE, EXPIRED, UNKNOWN_KEY, WRONG_ALGORITHM};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn own_tokens_are_accepted_and_say_who_it_is() {
        let issuer = Issuer::ephemeral().unwrap();
        let (token, expires) = issuer.issue("ada", Role::Administrator, MINUTE).unwrap();
        let verifier = issuer.verifier();
        for _ in 0..2 {
            let principal = verifier.verify(&token).await.unwrap();
            assert_eq!(
                (&*principal.subject, principal.role, principal.expires),
                ("ada", Some(Role::Administrator), expires)
            );
        }
    }

    #[tokio::test]
    async fn foreign_changed_and_malformed_tokens_are_told_apart_in_the_log() {
        let issuer = Issuer::ephemeral().unwrap();
        let verifier = issuer.verifier();
        let issue = |issuer: &Issuer, subject| {
            issuer
                .issue(subject, Role::Administrator, MINUTE)
                .unwrap()
                .0
        };
        let foreign = issue(&Issuer::ephemeral().unwrap(), "ada");
        assert_eq!(verifier.verify(&foreign).await, Err(UNKNOWN_KEY));
        let (good, other) = (issue(&issuer, "ada"), issue(&issuer, "eve"));
        let [good, other, foreign] =
            [&good, &other, &foreign].map(|token| token.split('.').collect::<Vec<_>>());
        for (header, claims, signature, reason) in [
            (good[0], other[1], good[2], BAD_SIGNATURE),
            (good[0], good[1], foreign[2], BAD_SIGNATURE),
            (foreign[0], good[1], good[2], UNKNOWN_KEY),
            (good[0], good[1], "", BAD_SIGNATURE),
        ] {
            let token = format!("{header}.{claims}.{signature}");
            assert_eq!(verifier.verify(&token).await, Err(reason));
        }
        assert_eq!(verifier.verify("nonsense").await, Err(MALFORMED));
        assert_eq!(verifier.verify(&"x".repeat(100_000)).await, Err(TOO_LONG));
    }

    #[tokio::test]
    async fn algorithm_confusion_is_refused() {
        let issuer = Issuer::ephemeral().unwrap();
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        let claims = json!({"iss": issuer.name(), "sub": "eve", "aud": AUDIENCE, "exp": 4_000_000_000_i64, "nbf": 0,
            "iat": 0, "jti": "x", "granary/role": "administrator"});
        let key = jsonwebtoken::EncodingKey::from_secret(b"x");
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        let verifier = issuer.verifier();
        assert_eq!(verifier.verify(&token).await, Err(WRONG_ALGORITHM));
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmUifQ.";
        assert_eq!(verifier.verify(none).await, Err(WRONG_ALGORITHM));
    }

    #[tokio::test]
    async fn a_kept_verdict_ends_with_its_token() {
        let issuer = Issuer::ephemeral().unwrap();
        let (token, _) = issuer.issue("ada", None::<Role>, MINUTE).unwrap();
        let clock = ManualClock::new(time::OffsetDateTime::now_utc());
        let (tasks, timing) = (Tasks::new(), Timing::default());
        let verifier = Verifier::timed(
            &issuer,
            &[],
            CLOCK_SKEW,
            &tasks,
            timing,
            Arc::new(clock.clone()),
        )
        .unwrap();
        assert!(verifier.verify(&token).await.is_ok());
        clock.advance(time::Duration::seconds(80));
        let principal = verifier.verify(&token).await.unwrap();
        assert!((9..=11).contains(&verifier.left(&principal).as_secs()));
        clock.advance(time::Duration::seconds(15));
        assert_eq!(verifier.left(&principal), Duration::ZERO);
        assert_eq!(verifier.verify(&token).await, Err(EXPIRED));
    }
}
