//! API keys: the tokens they are exchanged for, which are kept for the commands that come next, and the project that a key is of.

mod kept;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::future::BoxFuture;
use granary_core::{
    Error, Result,
    name::{ApiKeyName, ProjectName},
};
use granary_runtime::{
    Link,
    auth::{ApiKey, Exchange, Fresh, TokenSource},
    secret::Secret,
};
use tonic::transport::Channel;

use crate::login::{claims, now};
use kept::Kept;

pub(crate) use kept::Store;

/// With no more left than this, a kept token is not used.
const AHEAD_SECONDS: i64 = 60;

/// The tokens of an API key.
#[derive(Debug)]
pub(crate) struct KeySource<E> {
    by: E,
    /// Nothing where tokens cannot be kept.
    store: Option<Store>,
    /// Whether what was kept is no good.
    refused: AtomicBool,
}

/// Those that the server gives.
pub(crate) fn source(key: Secret, store: Option<Store>, channel: &Channel) -> KeySource<ApiKey> {
    let way = Link::remote(channel.clone(), TokenSource::none());
    KeySource::new(ApiKey::new(key, way), store)
}

impl<E: Exchange> KeySource<E> {
    fn new(by: E, store: Option<Store>) -> Self {
        Self {
            by,
            store,
            refused: AtomicBool::new(false),
        }
    }

    /// The project of the key, by a new token, which is kept.
    pub(crate) async fn project(&self) -> Result<ProjectName> {
        project(self.exchange().await?.token.reveal())
    }

    async fn renew(&self) -> Result<Fresh> {
        match self.kept() {
            Some(kept) => Ok(kept),
            None => self.exchange().await,
        }
    }

    async fn exchange(&self) -> Result<Fresh> {
        let fresh = self.by.fresh().await?;
        if let (Some(store), Ok(project)) = (&self.store, project(fresh.token.reveal())) {
            let lifetime = i64::try_from(fresh.lifetime.as_secs()).unwrap_or_default();
            store.write(&Kept {
                project: project.project,
                token: fresh.token.reveal().to_owned(),
                expires: now().saturating_add(lifetime),
            });
        }
        Ok(fresh)
    }

    fn kept(&self) -> Option<Fresh> {
        let store = self.store.as_ref()?;
        let kept = store
            .read()
            .filter(|_| !self.refused.load(Ordering::Relaxed))?;
        let left = kept.expires.saturating_sub(now());
        let lifetime = u64::try_from(left).ok().filter(|_| left > AHEAD_SECONDS)?;
        Some(Fresh {
            token: Secret::new(kept.token),
            lifetime: Duration::from_secs(lifetime),
            kept: true,
        })
    }
}

impl<E: Exchange> Exchange for KeySource<E> {
    fn fresh(&self) -> BoxFuture<'_, Result<Fresh>> {
        Box::pin(self.renew())
    }

    fn refused(&self, _token: &str) {
        self.refused.store(true, Ordering::Relaxed);
        if let Some(store) = &self.store {
            store.remove();
        }
    }
}

/// The project of a key whose token this is: its subject is the key's name.
fn project(token: &str) -> Result<ProjectName> {
    let subject = claims(token).and_then(|claims| Some(claims.get("sub")?.as_str()?.to_owned()));
    subject
        .and_then(|name| ApiKeyName::parse(&name).ok())
        .map(|key| key.parent())
        .ok_or_else(|| {
            Error::invalid(
                "project",
                "the server does not say which one the API key is of: name it with --project",
            )
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use granary_runtime::auth::{Issuer, Role};
    use parking_lot::Mutex;

    use super::*;

    /// Gives tokens of a key that last so long, and says how many it gave.
    #[derive(Debug, Clone)]
    struct Desk {
        issuer: Issuer,
        seconds: u64,
        given: Arc<Mutex<usize>>,
    }

    impl Desk {
        fn new(seconds: u64) -> Self {
            Self {
                issuer: Issuer::ephemeral().unwrap(),
                seconds,
                given: Arc::default(),
            }
        }

        fn asked(&self) -> usize {
            *self.given.lock()
        }
    }

    impl Exchange for Desk {
        fn fresh(&self) -> BoxFuture<'_, Result<Fresh>> {
            Box::pin(async {
                *self.given.lock() += 1;
                let lifetime = Duration::from_secs(self.seconds);
                let name = "projects/lab/apiKeys/k";
                let (token, _) = self.issuer.issue(name, None::<Role>, lifetime)?;
                Ok(Fresh {
                    token: Secret::new(token),
                    lifetime,
                    kept: false,
                })
            })
        }
    }

    /// What one command after the other sees.
    fn command(desk: &Desk, folder: &std::path::Path) -> KeySource<Desk> {
        let store = Store::within(folder, "http://lab:7070", &Secret::new("granary_k"));
        KeySource::new(desk.clone(), Some(store))
    }

    #[tokio::test]
    async fn the_next_command_goes_on_with_the_token_of_the_one_before() {
        let (desk, folder) = (Desk::new(600), tempfile::tempdir().unwrap());
        let first = command(&desk, folder.path()).fresh().await.unwrap();
        let next = command(&desk, folder.path()).fresh().await.unwrap();
        assert_eq!(first.token.reveal(), next.token.reveal());
        assert_eq!((first.kept, next.kept, desk.asked()), (false, true, 1));
    }

    #[tokio::test]
    async fn a_token_that_ends_within_a_minute_is_not_used() {
        let (desk, folder) = (Desk::new(60), tempfile::tempdir().unwrap());
        for asked in 1..=2 {
            let fresh = command(&desk, folder.path()).fresh().await.unwrap();
            assert_eq!((fresh.kept, desk.asked()), (false, asked));
        }
    }

    #[tokio::test]
    async fn a_kept_token_that_is_refused_is_not_given_again() {
        let (desk, folder) = (Desk::new(600), tempfile::tempdir().unwrap());
        command(&desk, folder.path()).fresh().await.unwrap();
        let command = command(&desk, folder.path());
        let kept = command.fresh().await.unwrap();
        command.refused(kept.token.reveal());
        assert!(!command.fresh().await.unwrap().kept);
        assert_eq!(desk.asked(), 2);
    }

    #[tokio::test]
    async fn a_key_says_its_project() {
        let desk = Desk::new(600);
        let source = KeySource::new(desk, None);
        assert_eq!(source.project().await.unwrap().project, "lab");
        assert!(
            project("opaque")
                .unwrap_err()
                .to_string()
                .contains("--project")
        );
    }
}
