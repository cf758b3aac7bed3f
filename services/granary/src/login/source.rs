//! The tokens of a login, renewed with it. Several commands may run at once: one of them renews, the others find what it got.

use std::time::Duration;

use futures::future::BoxFuture;
use granary_core::{Error, Result};
use granary_runtime::auth::{Exchange, Fresh};

use super::{Grant, Kept, Provider, Store, now};

/// With less time left than this, a token is renewed.
const AHEAD_SECONDS: i64 = 90;

/// The login at a server.
#[derive(Debug)]
pub(crate) struct LoginSource {
    store: Store,
}

impl LoginSource {
    /// Of a login that is kept.
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    async fn renew(&self) -> Result<Fresh> {
        if let Some(fresh) = self.kept()?.map(|kept| kept.grant()).and_then(lasting) {
            return Ok(fresh);
        }
        let store = self.store.clone();
        let _lock = tokio::task::spawn_blocking(move || store.lock())
            .await
            .map_err(|error| Error::internal("waiting for another command", error))??;
        // Another command may have done it meanwhile.
        let kept = self.kept()?.ok_or_else(ended)?;
        let grant = kept.grant();
        if let Some(fresh) = lasting(grant.clone()) {
            return Ok(fresh);
        }
        let renewed = match &grant.refresh {
            Some(refresh) => match Provider::find(&kept.terms).await {
                Ok(provider) => provider.refresh(refresh).await,
                Err(error) => Err(error),
            },
            None => Err(ended()),
        };
        match renewed {
            Ok(renewed) => {
                self.store.write(&kept.terms, &renewed)?;
                fresh(renewed).ok_or_else(ended)
            }
            // What is left is used to its end.
            Err(error) => fresh(grant).ok_or(error),
        }
    }

    fn kept(&self) -> Result<Option<Kept>> {
        self.store.read()
    }
}

impl Exchange for LoginSource {
    fn fresh(&self) -> BoxFuture<'_, Result<Fresh>> {
        Box::pin(self.renew())
    }
}

fn lasting(grant: Grant) -> Option<Fresh> {
    (grant.expires - now() > AHEAD_SECONDS)
        .then(|| fresh(grant))
        .flatten()
}

fn fresh(grant: Grant) -> Option<Fresh> {
    let left = u64::try_from(grant.expires - now())
        .ok()
        .filter(|left| *left > 0)?;
    Some(Fresh {
        token: grant.token,
        lifetime: Duration::from_secs(left),
        kept: false,
    })
}

fn ended() -> Error {
    Error::Unauthenticated {
        reason: "the login has ended: run `granary login` again".into(),
    }
}
