//! Who calls, and what they may do.
//!
//! Every call carries a JSON web token. It is verified here, in each service, whatever stands in front; the verdict is kept for a while, so
//! that a token in use costs one look-up.

mod api_key;
mod behalf;
mod budget;
pub mod directory;
mod issuer;
mod jwt;
mod keys;
mod layer;
mod malformed;
mod message;
mod observe;
pub mod oidc;
mod roles;
mod scope;
mod source;
mod text;
mod verifier;
mod watched;

use std::sync::Arc;

pub use api_key::ApiKey;
pub(crate) use behalf::{ON_BEHALF_OF, header as behalf_header};
pub use directory::Directory;
pub use issuer::{Issuer, LAUNCHER, write_private};
pub use jwt::Reason;
pub use layer::AuthLayer;
pub use observe::{Ended, Known, Verdict};
pub use roles::{Role, Rule, rule};
pub use source::{Exchange, Fresh, TokenSource};
pub(crate) use text::cut;
pub use verifier::{CLOCK_SKEW, Verifier};

/// What a caller without a valid token is told, whatever is wrong with it: the log tells the cases apart.
pub const REFUSED: &str = "the token is missing, wrong or expired: send `authorization: Bearer TOKEN` with a token of an issuer that this server trusts (an embedded server keeps the local administrator's in the file `token` in its data directory)";

/// Whom a verified token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// The token's `iss`.
    pub issuer: Arc<str>,
    /// An e-mail address that the issuer has verified.
    pub email: Option<Arc<str>>,
    /// What it may do in all projects; none for most, who have their roles in projects.
    pub role: Option<Role>,
    /// When the token ends, in seconds since 1970.
    pub expires: i64,
}

impl Principal {
    /// The project of an API key, whose subject is its name; nothing for others.
    pub fn home(&self) -> Option<&str> {
        let (project, key) = self.subject.strip_prefix("projects/")?.split_once('/')?;
        key.starts_with("apiKeys/").then_some(project)
    }
}

/// Who makes a call, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose token it is.
    pub principal: Principal,
    /// What it is in the project of the call, or everywhere.
    pub role: Option<Role>,
    /// The id of the project that the call is about; of an API key always its own.
    pub project: Option<Arc<str>>,
    /// For whom a service calls.
    pub on_behalf_of: Option<Principal>,
}

impl Caller {
    /// Who is behind the call: for services, the principal whose call they handle.
    pub fn author(&self) -> &Principal {
        self.on_behalf_of.as_ref().unwrap_or(&self.principal)
    }
}
