//! Who calls, and what they may do.
//!
//! Every call carries a JSON web token. It is verified here, in each service, whatever stands in front; the verdict is kept for a while, so
//! that a token in use costs one look-up.

mod issuer;
mod layer;
mod roles;
mod verifier;

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use parking_lot::Mutex;

pub use issuer::{Issuer, write_private};
pub use layer::AuthLayer;
pub use roles::{Role, may_call};
pub use verifier::Verifier;

/// What a caller without a valid token is told, whatever is wrong with it: the log tells the cases apart.
pub const REFUSED: &str = "the token is missing, wrong or expired: send `authorization: Bearer TOKEN` with a token of this server (the local administrator's is in the file `token` in the data directory)";

/// Whom a verified token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// The token's `iss`.
    pub issuer: Arc<str>,
    /// What it may do.
    pub role: Role,
    /// When the token ends, in seconds since 1970.
    pub expires: i64,
}

/// Gives the `authorization` header of outgoing calls, and renews the token behind it in time.
#[derive(Clone, Debug)]
pub struct TokenSource(Arc<Source>);

#[derive(Debug)]
enum Source {
    Fixed(HeaderValue),
    Renewed {
        issuer: Issuer,
        subject: String,
        role: Role,
        current: Mutex<Option<(i64, HeaderValue)>>,
    },
}

const LIFETIME: Duration = Duration::from_secs(600);

impl TokenSource {
    /// Always this token. Fails if no header can hold it.
    pub fn fixed(token: &str) -> granary_core::Result<Self> {
        let header = bearer(token).ok_or_else(|| {
            granary_core::Error::invalid("token", "expected a token without spaces and line breaks")
        })?;
        Ok(Self(Arc::new(Source::Fixed(header))))
    }

    /// Tokens of 10 minutes of the bundled issuer, made anew before they end.
    pub fn renewed(issuer: Issuer, subject: impl Into<String>, role: Role) -> Self {
        Self(Arc::new(Source::Renewed {
            issuer,
            subject: subject.into(),
            role,
            current: Mutex::new(None),
        }))
    }

    /// The header to send now.
    pub fn header(&self) -> Option<HeaderValue> {
        match &*self.0 {
            Source::Fixed(header) => Some(header.clone()),
            Source::Renewed {
                issuer,
                subject,
                role,
                current,
            } => {
                let now = time::OffsetDateTime::now_utc().unix_timestamp();
                let mut current = current.lock();
                if let Some((expires, header)) = &*current
                    && *expires - now > 60
                {
                    return Some(header.clone());
                }
                let (token, expires) = issuer.issue(subject, *role, LIFETIME).ok()?;
                let header = bearer(&token)?;
                *current = Some((expires, header.clone()));
                Some(header)
            }
        }
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}
