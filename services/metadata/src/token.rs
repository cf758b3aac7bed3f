//! Tokens that administrators have issued for others.

use std::time::Duration;

use granary_core::{Error, Result, name::quote};
use granary_runtime::auth::{Issuer, Role};

/// The longest that a token is valid.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a token is valid when nobody says.
pub(crate) const DEFAULT: Duration = Duration::from_secs(3600);

/// Issues a token of a role that callers may ask for, or of none, and says when it ends in seconds since 1970.
pub(crate) fn issue(
    issuer: Option<&Issuer>,
    subject: &str,
    role: Option<Role>,
    lifetime: Duration,
) -> Result<(String, i64)> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@' | b':');
    if !(1..=128).contains(&subject.len()) || !subject.bytes().all(legal) {
        let expected = "expected 1 to 128 of letters, digits, `_`, `-`, `.`, `@` and `:`";
        return Err(Error::invalid(
            "subject",
            format!("{expected}, got {}", quote(subject)),
        ));
    }
    if lifetime > LONGEST || lifetime < Duration::from_secs(1) {
        return Err(Error::invalid(
            "lifetime",
            format!(
                "expected 1 second to 30 days, got {} seconds",
                lifetime.as_secs()
            ),
        ));
    }
    let issuer = issuer.ok_or_else(|| {
        Error::precondition(
            "tokens",
            "this server issues no tokens: have one issued where its others come from, or use an API key",
        )
    })?;
    issuer.issue(subject, role, lifetime)
}
