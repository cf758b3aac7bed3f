//! An issuer, as those who log in see it (RFC 6749).

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use granary_core::{Error, Result};
use granary_runtime::{auth::oidc::Discovery, outbound::Outbound, secret::Secret};
use serde::Deserialize;
use url::Url;

use super::{
    Grant, Kept, Terms,
    device::{Polling, Start, Step},
    now,
};
use crate::human;

const TIMEOUT: Duration = Duration::from_secs(20);
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How long an access token is good if its issuer does not say.
const USUAL_LIFETIME: i64 = 300;
const MAX_TEXT_CHARS: usize = 200;

/// An issuer and what is asked of it.
#[derive(Debug)]
pub(crate) struct Provider {
    http: Outbound,
    discovery: Discovery,
    terms: Terms,
}

/// What the token endpoint gives.
#[derive(Debug, Deserialize)]
pub(super) struct Given {
    access_token: Option<Secret>,
    id_token: Option<Secret>,
    refresh_token: Option<Secret>,
    expires_in: Option<i64>,
}

/// Why it gives nothing.
#[derive(Debug, Deserialize)]
pub(super) struct Declined {
    pub(super) error: String,
    pub(super) error_description: Option<String>,
}

impl Declined {
    pub(super) fn into_error(self, what: &str) -> Error {
        let mut text = format!("{what}: {}", self.error);
        if let Some(more) = self.error_description {
            text.push_str(&format!(", {more}"));
        }
        let text: String = text.chars().take(MAX_TEXT_CHARS).collect();
        Error::Unauthenticated {
            reason: human::shown(&text),
        }
    }
}

impl Provider {
    /// Asks an issuer about itself.
    pub(crate) async fn find(terms: &Terms) -> Result<Self> {
        let http = Outbound::new(TIMEOUT, terms.ca_file.as_deref(), false)?;
        let discovery = Discovery::get(&http, &terms.issuer, None).await?;
        Ok(Self {
            http,
            discovery,
            terms: terms.clone(),
        })
    }

    /// Begins a login.
    pub(crate) async fn start(&self) -> Result<Start> {
        let offered = self.discovery.device_authorization_endpoint.as_deref();
        let url = self
            .discovery
            .endpoint("device_authorization_endpoint", offered, &self.http)?;
        let mut fields = vec![
            ("client_id", self.terms.client_id.as_str()),
            ("scope", self.terms.scope.as_str()),
        ];
        fields.extend(
            self.terms
                .audience
                .as_deref()
                .map(|audience| ("audience", audience)),
        );
        let started: Result<Start, Declined> = self.post(&url, &fields).await?;
        started.map_err(|declined| declined.into_error("the issuer does not begin a login"))
    }

    /// Waits until somebody has confirmed it.
    pub(crate) async fn wait(&self, start: &Start) -> Result<Grant> {
        let mut polling = Polling::new(start);
        let mut pause = polling.first();
        let fields = [
            ("grant_type", DEVICE_GRANT),
            ("device_code", start.device_code.reveal()),
            ("client_id", &self.terms.client_id),
        ];
        loop {
            tokio::time::sleep(pause).await;
            match polling.next(self.ask_for_token(&fields).await)? {
                Step::Done(given) => return self.grant(given),
                Step::Wait(next) => pause = next,
            }
        }
    }

    /// Another token for a login.
    pub(crate) async fn refresh(&self, refresh: &Secret) -> Result<Grant> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.reveal()),
            ("client_id", &self.terms.client_id),
        ];
        let given = self.ask_for_token(&fields).await?.map_err(|declined| {
            declined.into_error("the login has ended, run `granary login` again")
        })?;
        let grant = self.grant(given)?;
        // Issuers that do not give another one go on with the same.
        let refresh = grant.refresh.clone().or_else(|| Some(refresh.clone()));
        Ok(Grant { refresh, ..grant })
    }

    /// Has the issuer forget a login, if it offers that.
    pub(crate) async fn forget(login: &Kept) -> Result<()> {
        let Some(refresh) = &login.refresh else {
            return Ok(());
        };
        let provider = Self::find(&login.terms).await?;
        let Some(offered) = provider.discovery.revocation_endpoint.as_deref() else {
            return Ok(());
        };
        let url =
            provider
                .discovery
                .endpoint("revocation_endpoint", Some(offered), &provider.http)?;
        let fields = [
            ("token", refresh.as_str()),
            ("token_type_hint", "refresh_token"),
            ("client_id", &login.terms.client_id),
        ];
        let answer = provider.http.post_form(&url, &fields).await?;
        match answer.status {
            200 => Ok(()),
            status => Err(Error::precondition(
                url,
                format!("answered with status {status}"),
            )),
        }
    }

    async fn ask_for_token(&self, fields: &[(&str, &str)]) -> Result<Result<Given, Declined>> {
        let offered = self.discovery.token_endpoint.as_deref();
        let url = self
            .discovery
            .endpoint("token_endpoint", offered, &self.http)?;
        self.post(&url, fields).await
    }

    async fn post<T: for<'a> Deserialize<'a>>(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
    ) -> Result<Result<T, Declined>> {
        let answer = self.http.post_form(url, fields).await?;
        match answer.status {
            200 => Ok(Ok(answer.json(url)?)),
            429 | 500.. => Err(Error::Unavailable {
                reason: format!("the issuer answered with status {}", answer.status),
                cause: None,
            }),
            _ => Ok(Err(answer.json(url)?)),
        }
    }

    fn grant(&self, given: Given) -> Result<Grant> {
        let lifetime = given
            .expires_in
            .filter(|seconds| *seconds > 0)
            .unwrap_or(USUAL_LIFETIME);
        let by_access = now().saturating_add(lifetime);
        let readable = |token: &Secret| claims(token.reveal()).is_some();
        let access = given
            .access_token
            .filter(|token| !self.terms.id_token && readable(token));
        let (token, expires) = match (access, given.id_token) {
            (Some(access), _) => (access, by_access),
            // It ends when it says, not with the access token.
            (None, Some(id)) => {
                let ends = claims(id.reveal()).and_then(|claims| claims.get("exp")?.as_i64());
                (id, ends.unwrap_or(by_access))
            }
            (None, None) => {
                return Err(Error::precondition(
                    human::shown(&self.terms.issuer),
                    "gives no token that a server can read: ask for one with --audience, or add openid to --scope",
                ));
            }
        };
        Ok(Grant {
            token,
            expires,
            refresh: given.refresh_token,
        })
    }
}

/// What a token says, if it is one that can be read; nobody has verified it here.
pub(crate) fn claims(token: &str) -> Option<HashMap<String, serde_json::Value>> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}
