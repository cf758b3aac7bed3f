//! What an issuer says of itself (OpenID Connect Discovery 1.0).

use granary_core::{Error, Result, name::quote};
use serde::Deserialize;
use url::Url;

use crate::outbound::Outbound;

/// The document at `/.well-known/openid-configuration`, as far as Granary needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct Discovery {
    issuer: String,
    jwks_uri: Option<String>,
    /// Where tokens are given.
    pub token_endpoint: Option<String>,
    /// Where devices begin to log in (RFC 8628).
    pub device_authorization_endpoint: Option<String>,
    /// Where tokens are given back (RFC 7009).
    pub revocation_endpoint: Option<String>,
}

impl Discovery {
    /// Where the document of an issuer is.
    pub fn url(issuer: &str) -> Result<Url> {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        Url::parse(&format!("{base}/.well-known/openid-configuration"))
            .map_err(|_| Error::invalid("issuer", format!("expected a URL, got {}", quote(issuer))))
    }

    /// Asks an issuer. The document must be its own: one that names another issuer could lend that one's name to foreign keys.
    pub async fn get(http: &Outbound, issuer: &str, token: Option<&str>) -> Result<Self> {
        let url = Self::url(issuer)?;
        let found: Self = http.get_json(&url, token).await?;
        if found.issuer != issuer {
            return Err(Error::DataLoss {
                resource: url.into(),
                reason: format!(
                    "names the issuer {}: give the issuer exactly like this, if it is the right one",
                    quote(&found.issuer)
                ),
            });
        }
        Ok(found)
    }

    /// Where the keys are.
    pub fn jwks_url(&self, http: &Outbound) -> Result<Url> {
        self.endpoint("jwks_uri", self.jwks_uri.as_deref(), http)
    }

    /// One of the endpoints, if it is there and may be called; `name` is for the error.
    pub fn endpoint(&self, name: &str, url: Option<&str>, http: &Outbound) -> Result<Url> {
        let wrong = |reason: String| Error::precondition(&self.issuer, reason);
        let text = url.ok_or_else(|| wrong(format!("the issuer offers no {name}")))?;
        let url = Url::parse(text).map_err(|_| wrong(format!("its {name} is no URL")))?;
        http.allows(&url)
            .map_err(|error| wrong(format!("its {name} cannot be used: {error}")))?;
        Ok(url)
    }
}
