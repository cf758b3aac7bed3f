//! Issuers of tokens outside of Granary that speak OpenID Connect: which ones count, and what their claims mean.

mod claims;
mod discovery;
mod keyring;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, str::FromStr};

use granary_core::{Error, Result, name::quote};
use url::Url;

pub use discovery::Discovery;
pub(super) use keyring::{Keyring, Timing};

use crate::outbound::{self, Outbound};

const MAX_ISSUER_BYTES: usize = 512;

/// An issuer whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcIssuer {
    /// The `iss` of its tokens, byte for byte; where to ask about the issuer if `jwks_url` is not given.
    pub issuer: String,
    /// Tokens must be for one of these.
    pub audiences: Vec<String>,
    /// Where its keys are; else by discovery.
    pub jwks_url: Option<Url>,
    /// Whether to ask without encryption, for issuers in the same cluster.
    pub allow_http: bool,
    /// Certificate authorities (PEM) that are trusted beside those of this machine.
    pub ca_file: Option<PathBuf>,
    /// A token to ask with, read each time; sent to the hosts of `issuer` and `jwks_url` only.
    pub token_file: Option<PathBuf>,
    /// What its claims are called.
    pub claims: ClaimNames,
    /// Who is an administrator of all projects.
    pub administrators: Vec<Who>,
    /// Who runs the jobs of all projects.
    pub workers: Vec<Who>,
}

/// What the claims of an issuer are called: names, or paths such as `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// Who it is.
    pub subject: String,
    /// The e-mail address.
    pub email: String,
    /// Whether the address was verified; none where the issuer gives only verified ones.
    pub email_verified: Option<String>,
    /// The groups or roles.
    pub groups: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            subject: "sub".into(),
            email: "email".into(),
            email_verified: Some("email_verified".into()),
            groups: "groups".into(),
        }
    }
}

/// Some of an issuer's principals: `group:NAME` or `subject:SUBJECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Those in a group.
    Group(String),
    /// One.
    Subject(String),
}

impl FromStr for Who {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("group", name)) if !name.is_empty() => Ok(Self::Group(name.to_owned())),
            Some(("subject", name)) if !name.is_empty() => Ok(Self::Subject(name.to_owned())),
            _ => Err(Error::invalid(
                "",
                format!(
                    "expected group:NAME or subject:SUBJECT, got {}",
                    quote(text)
                ),
            )),
        }
    }
}

impl OidcIssuer {
    /// An issuer of tokens for these audiences, the rest by default.
    pub fn new(issuer: impl Into<String>, audiences: Vec<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences,
            jwks_url: None,
            allow_http: false,
            ca_file: None,
            token_file: None,
            claims: ClaimNames::default(),
            administrators: Vec::new(),
            workers: Vec::new(),
        }
    }

    /// Fails for what cannot work, with the name of the setting.
    pub fn check(&self) -> Result<()> {
        let url = Url::parse(&self.issuer).map_err(|_| {
            let got = quote(&self.issuer);
            Error::invalid(
                "issuer",
                format!("expected a URL such as https://id.example, got {got}"),
            )
        })?;
        let allowed = |field: &str, url: &Url| {
            outbound::check_url(url, self.allow_http).map_err(|error| {
                let advice = "or allow_http = true for an issuer in the same cluster";
                Error::invalid(field, format!("{error}, {advice}"))
            })
        };
        allowed("issuer", &url)?;
        if url.query().is_some() || self.issuer.len() > MAX_ISSUER_BYTES {
            return Err(Error::invalid(
                "issuer",
                "expected a URL of at most 512 bytes without a query",
            ));
        }
        if let Some(url) = &self.jwks_url {
            allowed("jwks_url", url)?;
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(Error::invalid(
                "audiences",
                "name at least one: tokens for others would count otherwise",
            ));
        }
        let names = [
            &self.claims.subject,
            &self.claims.email,
            &self.claims.groups,
        ];
        if names.iter().any(|name| name.is_empty()) {
            return Err(Error::invalid(
                "subject_claim, email_claim, groups_claim",
                "may not be empty",
            ));
        }
        Ok(())
    }

    /// Where its keys are, found out from the issuer if the settings do not say it.
    pub async fn find_jwks_url(&self) -> Result<Url> {
        if let Some(url) = &self.jwks_url {
            return Ok(url.clone());
        }
        let http = self.outbound(Timing::default().timeout)?;
        let token = self.token_for(&Discovery::url(&self.issuer)?)?;
        let found = Discovery::get(&http, &self.issuer, token.as_deref()).await?;
        found.jwks_url(&http)
    }

    fn outbound(&self, timeout: std::time::Duration) -> Result<Outbound> {
        Outbound::new(timeout, self.ca_file.as_deref(), self.allow_http)
    }

    /// The token to send there, if one is to be sent.
    fn token_for(&self, url: &Url) -> Result<Option<String>> {
        let Some(file) = &self.token_file else {
            return Ok(None);
        };
        let issuer = Url::parse(&self.issuer).ok();
        let known = [issuer.as_ref(), self.jwks_url.as_ref()];
        if !known
            .iter()
            .flatten()
            .any(|known| known.origin() == url.origin())
        {
            return Ok(None);
        }
        let token = std::fs::read_to_string(file).map_err(|error| {
            Error::precondition(
                file.display(),
                format!("cannot read the token for the issuer: {error}"),
            )
        })?;
        Ok(Some(token.trim().to_owned()))
    }
}
