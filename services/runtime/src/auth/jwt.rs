//! The form of a signed token (RFC 7515, RFC 7519): what its header and its claims say, before any of it is believed.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value as Json};

use super::keys::Key;

/// Why a token is refused, in words for the log that hold nothing of the token.
pub type Reason = &'static str;

pub(super) const TOO_LONG: Reason = "too long";
pub(super) const MALFORMED: Reason = "malformed";
pub(super) const OTHER_KIND: Reason = "another kind of token";
pub(super) const WRONG_ALGORITHM: Reason = "wrong algorithm";
pub(super) const UNKNOWN_KEY: Reason = "unknown key";
pub(super) const NO_KEY_ID: Reason = "no key id, and several keys";
pub(super) const BAD_SIGNATURE: Reason = "bad signature";
pub(super) const EXPIRED: Reason = "expired";
pub(super) const NOT_YET: Reason = "not yet valid";
pub(super) const FOREIGN_ISSUER: Reason = "foreign issuer";
pub(super) const FOREIGN_AUDIENCE: Reason = "foreign audience";
pub(super) const MISSING: Reason = "a claim is missing";
pub(super) const OWN_FORBIDDEN: Reason =
    "a token of the bundled issuer where tokens come from OIDC issuers";

/// The kinds of signatures that count. Neither `none` nor any with a shared secret is among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// The claims of a token, by name.
pub(super) type Claims = Map<String, Json>;

/// A token in its parts.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Claims,
    signed: &'a [u8],
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    pub(super) fn parse(text: &'a str) -> Result<Self, Reason> {
        let (signed, signature) = text.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = signed.split_once('.').ok_or(MALFORMED)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED);
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| MALFORMED)?;
        // Extensions that must be understood, and none is.
        if header.crit.is_some() {
            return Err(MALFORMED);
        }
        if !header.typ.as_deref().is_none_or(is_for_calls) {
            return Err(OTHER_KIND);
        }
        Ok(Self {
            algorithm: Algorithm::parse(&header.alg).ok_or(WRONG_ALGORITHM)?,
            key_id: header.kid,
            claims: serde_json::from_slice(&decode(claims)?).map_err(|_| MALFORMED)?,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }

    /// Who says that it issued it.
    pub(super) fn issuer(&self) -> Result<&str, Reason> {
        text(&self.claims, "iss")
    }

    /// Whether the holder of the key has signed it.
    pub(super) fn check_signature(&self, key: &Key) -> Result<(), Reason> {
        if key.algorithm() != self.algorithm {
            return Err(WRONG_ALGORITHM);
        }
        match key.has_signed(self.signed, &self.signature) {
            true => Ok(()),
            false => Err(BAD_SIGNATURE),
        }
    }

    /// When it ends. Fails if that is over, or if its time has not come; clocks may differ by `skew` seconds.
    pub(super) fn check_times(&self, now: i64, skew: i64) -> Result<i64, Reason> {
        let expires = seconds(&self.claims, "exp")?.ok_or(MISSING)?;
        if expires.saturating_add(skew) <= now {
            return Err(EXPIRED);
        }
        match seconds(&self.claims, "nbf")? {
            Some(start) if start > now.saturating_add(skew) => Err(NOT_YET),
            _ => Ok(expires),
        }
    }
}

// RFC 9068 names those of calls `at+jwt`. Others with this header are, for example, of logouts.
fn is_for_calls(kind: &str) -> bool {
    ["jwt", "at+jwt", "application/at+jwt"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(kind))
}

/// A claim that is a text.
pub(super) fn text<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, Reason> {
    match claims.get(name) {
        Some(Json::String(text)) if !text.is_empty() => Ok(text),
        None => Err(MISSING),
        Some(_) => Err(MALFORMED),
    }
}

/// Whether one of the audiences is among those of the claim, which is a text or a list of them.
pub(super) fn is_for(claims: &Claims, audiences: &[String]) -> Result<bool, Reason> {
    let known = |found: &Json| {
        found
            .as_str()
            .is_some_and(|found| audiences.iter().any(|a| a == found))
    };
    match claims.get("aud") {
        Some(Json::Array(all)) => Ok(all.iter().any(known)),
        Some(one @ Json::String(_)) => Ok(known(one)),
        Some(_) => Err(MALFORMED),
        None => Err(MISSING),
    }
}

// RFC 7519 allows fractions of seconds.
fn seconds(claims: &Claims, name: &str) -> Result<Option<i64>, Reason> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    if let Some(whole) = value.as_i64() {
        return Ok(Some(whole));
    }
    match value.as_f64() {
        #[allow(clippy::cast_possible_truncation, reason = "checked to be in range")]
        Some(number) if (0.0..1e15).contains(&number) => Ok(Some(number as i64)),
        _ => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(json: &Json) -> String {
        URL_SAFE_NO_PAD.encode(json.to_string())
    }

    fn parse(header: &Json, claims: &Json) -> Result<Claims, Reason> {
        let text = format!("{}.{}.", part(header), part(claims));
        Token::parse(&text).map(|token| token.claims)
    }

    #[test]
    fn headers_that_ask_for_more_than_a_signature_are_refused() {
        let claims = json!({"sub": "ada"});
        assert!(parse(&json!({"alg": "ES256", "typ": "JWT"}), &claims).is_ok());
        assert!(
            parse(
                &json!({"alg": "ES256", "typ": "at+jwt", "kid": "1"}),
                &claims
            )
            .is_ok()
        );
        for (header, reason) in [
            (json!({"alg": "none"}), WRONG_ALGORITHM),
            (json!({"alg": "None"}), WRONG_ALGORITHM),
            (json!({"alg": "HS256"}), WRONG_ALGORITHM),
            (json!({"alg": "PS256"}), WRONG_ALGORITHM),
            (json!({"alg": "RS1"}), WRONG_ALGORITHM),
            (json!({"alg": ["RS256"]}), MALFORMED),
            (json!({"kid": "1"}), MALFORMED),
            (
                json!({"alg": "RS256", "crit": ["b64"], "b64": false}),
                MALFORMED,
            ),
            (json!({"alg": "RS256", "typ": "logout+jwt"}), OTHER_KIND),
            (json!("RS256"), MALFORMED),
        ] {
            assert_eq!(parse(&header, &claims), Err(reason), "{header}");
        }
        assert_eq!(parse(&json!({"alg": "RS256"}), &json!([])), Err(MALFORMED));
        for text in ["", ".", "..", "a.b.c", "x.y", "{}.{}.{}"] {
            assert_eq!(Token::parse(text).map(drop), Err(MALFORMED), "{text:?}");
        }
    }

    #[test]
    fn times_count_with_some_difference_between_clocks() {
        let check = |claims: Json| {
            let text = format!("{}.{}.", part(&json!({"alg": "EdDSA"})), part(&claims));
            Token::parse(&text).and_then(|token| token.check_times(1000, 30))
        };
        assert_eq!(check(json!({"exp": 971})), Ok(971));
        assert_eq!(check(json!({"exp": 970})), Err(EXPIRED));
        assert_eq!(check(json!({"exp": 2000.5, "nbf": 1030})), Ok(2000));
        assert_eq!(check(json!({"exp": 2000, "nbf": 1031})), Err(NOT_YET));
        assert_eq!(check(json!({"nbf": 0})), Err(MISSING));
        for wrong in [
            json!("2000"),
            json!(null),
            json!(-1.5),
            json!(1e300),
            json!([2000]),
        ] {
            assert_eq!(check(json!({"exp": wrong})), Err(MALFORMED));
        }
    }

    #[test]
    fn one_audience_of_several_is_enough() {
        let is_for = |aud: Json| {
            is_for(
                json!({"aud": aud}).as_object().unwrap(),
                &["granary".into(), "api".into()],
            )
        };
        assert_eq!(is_for(json!("api")), Ok(true));
        assert_eq!(is_for(json!(["other", "granary"])), Ok(true));
        assert_eq!(is_for(json!(["other", 1])), Ok(false));
        assert_eq!(is_for(json!([])), Ok(false));
        assert_eq!(is_for(json!("granary api")), Ok(false));
        assert_eq!(is_for(json!({"granary": true})), Err(MALFORMED));
    }
}
