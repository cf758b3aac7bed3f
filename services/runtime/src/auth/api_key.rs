//! API keys as clients use them: exchanged for tokens.

use std::{error::Error as _, fmt, time::Duration};

use futures::future::BoxFuture;
use granary_core::{Error, Result};
use granary_proto::identity::v1::{
    ExchangeApiKeyRequest, token_service_client::TokenServiceClient,
};
use time::OffsetDateTime;
use tonic::Status;

use super::{Exchange, Fresh};
use crate::{Link, rpc::from_status, secret::Secret, tls::Trouble};

/// An API key, which the server behind a way exchanges for tokens.
pub struct ApiKey {
    secret: Secret,
    way: Link,
}

impl ApiKey {
    /// A key, and the way to the server, on which no token is sent.
    pub fn new(secret: Secret, way: Link) -> Self {
        Self { secret, way }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

impl Exchange for ApiKey {
    fn fresh(&self) -> BoxFuture<'_, Result<Fresh>> {
        Box::pin(async {
            let request = ExchangeApiKeyRequest {
                secret: self.secret.reveal().to_owned(),
            };
            let answer = TokenServiceClient::new(self.way.clone())
                .exchange_api_key(request)
                .await
                .map_err(not_exchanged)?
                .into_inner();
            // By this machine's clock as little as possible: it may differ from the server's.
            let by_clock = || {
                let ends = answer.expire_time.as_ref().map_or(0, |time| time.seconds);
                u64::try_from(ends - OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0)
            };
            let lifetime =
                lifetime(&answer.token).unwrap_or_else(|| Duration::from_secs(by_clock()));
            Ok(Fresh {
                token: Secret::new(answer.token),
                lifetime,
                kept: false,
            })
        })
    }
}

fn not_exchanged(status: Status) -> Error {
    let trouble = Trouble::behind(&status);
    // What the server says has no cause on this side.
    let broke = status.source().is_some();
    match from_status(status) {
        Error::Unauthenticated { .. } => Error::Unauthenticated {
            reason: "the API key is refused: it is wrong, expired or revoked; an owner of its project can make another with \
                     `granary api-key create`"
                .into(),
        },
        error if broke || matches!(error, Error::Internal { .. } | Error::Unavailable { .. }) => {
            let why = match trouble {
                Some(trouble) => trouble.to_string(),
                None if broke => "the connection broke".to_owned(),
                None => error.to_string(),
            };
            Error::Unavailable {
                reason: format!("cannot exchange the API key for a token now: {why}"),
                cause: None,
            }
        }
        other => other,
    }
}

/// How long a token lasts, as it says itself.
fn lifetime(token: &str) -> Option<Duration> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let seconds = claims
        .get("exp")?
        .as_i64()?
        .checked_sub(claims.get("iat")?.as_i64()?)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::auth::{Issuer, Role};

    #[test]
    fn a_token_says_how_long_it_lasts() {
        let issuer = Issuer::ephemeral().unwrap();
        let (token, _) = issuer
            .issue("a", Role::Worker, Duration::from_secs(90))
            .unwrap();
        assert_eq!(lifetime(&token), Some(Duration::from_secs(90)));
        assert_eq!(lifetime("opaque"), None);
    }

    #[test]
    fn a_connection_that_broke_says_nothing_against_the_key() {
        let broke = |code| {
            let mut status = Status::new(code, "operation was canceled");
            status.set_source(std::sync::Arc::new(std::io::Error::other("closed")));
            not_exchanged(status)
        };
        for code in [Code::Cancelled, Code::Unknown, Code::Unavailable] {
            let error = broke(code);
            let said = "cannot exchange the API key for a token now: the connection broke";
            assert!(error.is_transient() && error.to_string() == said, "{error}");
        }
        let refused = not_exchanged(Status::unauthenticated("wrong"));
        assert!(
            matches!(refused, Error::Unauthenticated { .. }),
            "{refused}"
        );
    }
}
