//! `granary login` and `granary logout`: people come from an issuer outside, and this machine keeps what that one gave.

use std::path::PathBuf;

use granary_core::{Error, Result};
use granary_proto::identity::v1::GetPrincipalRequest;

use super::context::Context;
use crate::{
    client::{Client, call},
    config::Config,
    failure::{Failure, Outcome},
    human,
    login::{Grant, Provider, Store, Terms},
};

/// Logs in at an issuer that the server trusts, in a browser on this machine or on another
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The issuer, exactly as the server's settings name it
    #[arg(long, env = "GRANARY_LOGIN_ISSUER", value_name = "URL")]
    issuer: Option<String>,
    /// The id under which the issuer knows this command; a public client with the device flow
    #[arg(long, env = "GRANARY_LOGIN_CLIENT_ID", value_name = "ID")]
    client_id: Option<String>,
    /// For whom the token should be, which some issuers want to know
    #[arg(long, env = "GRANARY_LOGIN_AUDIENCE", value_name = "AUDIENCE")]
    audience: Option<String>,
    /// What to ask for [default: openid email offline_access]
    #[arg(long, env = "GRANARY_LOGIN_SCOPE", value_name = "SCOPES")]
    scope: Option<String>,
    /// Sends the ID token, for issuers whose access tokens say nothing
    #[arg(long)]
    id_token: bool,
}

/// Forgets the login at the server, and has the issuer forget it
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {}

impl Login {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let terms = self.terms(&context.config).map_err(Failure::usage)?;
        let store = Store::of(&context.config.shown())?;
        let provider = Provider::find(&terms).await?;
        let start = provider.start().await?;
        context.out.say(&start.invitation());
        let grant = provider.wait(&start).await?;
        let who = accepted(context, &grant, &terms).await?;
        store.write(&terms, &grant)?;
        context
            .out
            .note(&format!("logged in to {} as {who}", context.config.shown()));
        Ok(())
    }

    // Flags before the file.
    fn terms(self, config: &Config) -> Result<Terms> {
        let file = config.login.clone();
        let required = |name: &str, value: Option<String>| {
            let text = value.filter(|text| !text.is_empty());
            text.ok_or_else(|| {
                Error::invalid(
                    name,
                    "is missing: give it as a flag or in [login] of the file of settings",
                )
            })
        };
        Ok(Terms {
            issuer: required("issuer", self.issuer.or(file.issuer))?,
            client_id: required("client_id", self.client_id.or(file.client_id))?,
            audience: self
                .audience
                .or(file.audience)
                .filter(|text| !text.is_empty()),
            scope: self
                .scope
                .or(file.scope)
                .unwrap_or_else(|| "openid email offline_access".to_owned()),
            id_token: self.id_token,
            // Used from other folders too.
            ca_file: config.ca_file.as_ref().map(absolute).transpose()?,
        })
    }
}

/// Asks the server who that is. A server that is away now does not undo a login.
async fn accepted(context: &Context, grant: &Grant, terms: &Terms) -> Outcome<String> {
    let config = Config {
        token: Some(grant.token.clone()),
        ..context.config.clone()
    };
    let ask = async || {
        let client = Client::connect(&config, &context.out).await?;
        call!(
            client
                .tokens()
                .get_principal(GetPrincipalRequest::default())
        )
    };
    match ask().await {
        Ok(principal) => Ok(human::shown(&principal.subject)),
        Err(Error::Unauthenticated { .. }) => Err(Error::Unauthenticated {
            reason: format!(
                "{} refuses the token of {}: the server must trust this issuer, with an audience for which it gives tokens; its log says why",
                config.shown(),
                human::shown(&terms.issuer)
            ),
        }
        .into()),
        Err(error) => {
            context.out.note(&format!("granary: {error}"));
            Ok("somebody that the server has not seen yet".into())
        }
    }
}

fn absolute(file: &PathBuf) -> Result<PathBuf> {
    std::path::absolute(file).map_err(|error| Error::invalid("ca_file", human::io_error(&error)))
}

impl Logout {
    #[allow(clippy::unused_self, reason = "like all commands")]
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let store = Store::of(&context.config.shown())?;
        let Some(login) = store.read()? else {
            context
                .out
                .note(&format!("not logged in to {}", context.config.shown()));
            return Ok(());
        };
        store.remove()?;
        if let Err(error) = Provider::forget(&login).await {
            context.out.note(&format!(
                "granary: the issuer may not have forgotten the login: {error}"
            ));
        }
        context
            .out
            .note(&format!("logged out of {}", context.config.shown()));
        Ok(())
    }
}
