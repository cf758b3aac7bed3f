//! Tokens for outgoing calls, renewed in time.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use granary_core::{Error, Result};
use http::HeaderValue;
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Issuer, Role};
use crate::secret::Secret;

const BEARER: &str = "Bearer ";
/// How long tokens of the bundled issuer last here.
const LIFETIME: Duration = Duration::from_secs(600);
/// How long before its end a token is renewed, if it lasts long enough for that.
const AHEAD: Duration = Duration::from_secs(60);
/// With less than this left, a token may be over before it arrives.
const TRAVEL: Duration = Duration::from_secs(5);
/// How long a failure is the answer for those who come next, so that a busy worker does not ask for each of its calls.
const FAILURE_COUNTS: Duration = Duration::from_secs(1);

/// Gives the `authorization` header of outgoing calls, and renews the token behind it in time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenSource(Arc<Source>);

#[derive(Debug)]
enum Source {
    None,
    Fixed(HeaderValue),
    Own(Own),
    Exchanged(Exchanged),
}

/// What gives tokens in exchange for something that lasts longer, such as an API key or a login.
pub trait Exchange: fmt::Debug + Send + Sync {
    /// A fresh token. One at a time is asked for. The error says what to do.
    fn fresh(&self) -> BoxFuture<'_, Result<Fresh>>;

    /// The server refused this token, which was kept: it is not to be given again.
    fn refused(&self, _token: &str) {}
}

/// A token and for how long it is good from now on.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// The token.
    pub token: Secret,
    /// How long it is good.
    pub lifetime: Duration,
    /// Whether it was kept from an earlier time, and may no longer count: what the server denies with it is tried once more with another.
    pub kept: bool,
}

impl TokenSource {
    /// No token at all, for the calls that need none.
    pub fn none() -> Self {
        Self(Arc::new(Source::None))
    }

    /// Always this token. Fails if no header can hold it.
    pub fn fixed(token: &str) -> Result<Self> {
        Ok(Self(Arc::new(Source::Fixed(bearer(token)?))))
    }

    /// Tokens of 10 minutes of the bundled issuer, made anew before they end.
    pub fn renewed(issuer: Issuer, subject: impl Into<String>, role: Role) -> Self {
        Self(Arc::new(Source::Own(Own {
            issuer,
            subject: subject.into(),
            role,
            current: Mutex::default(),
        })))
    }

    /// Tokens that something else gives.
    pub fn exchanged(by: impl Exchange + 'static) -> Self {
        Self(Arc::new(Source::Exchanged(Exchanged {
            by: Box::new(by),
            held: Mutex::default(),
            flight: tokio::sync::Mutex::default(),
        })))
    }

    /// Whether this is a token that was kept, and that the server has not accepted since.
    pub(crate) fn is_doubtful(&self, header: Option<&HeaderValue>) -> bool {
        match &*self.0 {
            Source::Exchanged(exchanged) => exchanged.is_doubtful(header),
            _ => false,
        }
    }

    /// Says that the server accepted a token.
    pub(crate) fn accepted(&self, header: Option<&HeaderValue>) {
        if let Source::Exchanged(exchanged) = &*self.0 {
            exchanged.trust(header);
        }
    }

    /// The header to send now, if it is at hand; `Some(None)` if there is none to send.
    pub(crate) fn ready(&self) -> Option<Option<HeaderValue>> {
        match &*self.0 {
            Source::None => Some(None),
            Source::Fixed(header) => Some(Some(header.clone())),
            Source::Own(own) => own.header().ok().map(Some),
            Source::Exchanged(exchanged) => exchanged.held(Held::is_fresh).map(Some),
        }
    }

    /// The header to send now. Waits while the token is renewed.
    pub async fn header(&self) -> Result<Option<HeaderValue>> {
        match &*self.0 {
            Source::None => Ok(None),
            Source::Fixed(header) => Ok(Some(header.clone())),
            Source::Own(own) => own.header().map(Some),
            Source::Exchanged(exchanged) => exchanged.header().await.map(Some),
        }
    }

    /// Says that the server refused a token: the next call gets another one, if there can be another.
    pub(crate) fn refused(&self, header: Option<&HeaderValue>) {
        if let Source::Exchanged(exchanged) = &*self.0 {
            exchanged.forget(header);
        }
    }
}

/// Tokens of the bundled issuer.
#[derive(Debug)]
struct Own {
    issuer: Issuer,
    subject: String,
    role: Role,
    current: Mutex<Option<(i64, HeaderValue)>>,
}

impl Own {
    fn header(&self) -> Result<HeaderValue> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut current = self.current.lock();
        if let Some((expires, header)) = &*current
            && *expires - now > 60
        {
            return Ok(header.clone());
        }
        let (token, expires) = self.issuer.issue(&self.subject, self.role, LIFETIME)?;
        let header = bearer(&token)?;
        *current = Some((expires, header.clone()));
        Ok(header)
    }
}

/// Tokens that are given in exchange.
#[derive(Debug)]
struct Exchanged {
    by: Box<dyn Exchange>,
    held: Mutex<Option<Held>>,
    // Locked by who renews; within is how that failed the last time.
    flight: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

#[derive(Debug)]
struct Held {
    header: HeaderValue,
    renew: Instant,
    ends: Instant,
    doubtful: bool,
}

impl Held {
    fn new(fresh: &Fresh) -> Result<Self> {
        let now = Instant::now();
        // Whoever says it lasts longer is asked again after a day.
        let lifetime = fresh.lifetime.min(Duration::from_secs(24 * 3600));
        Ok(Self {
            header: bearer(fresh.token.reveal())?,
            renew: now + lifetime.saturating_sub(AHEAD.min(lifetime / 4)),
            ends: now + lifetime.saturating_sub(TRAVEL.min(lifetime / 8)),
            doubtful: fresh.kept,
        })
    }

    fn is_fresh(&self) -> bool {
        Instant::now() < self.renew
    }

    fn is_good(&self) -> bool {
        Instant::now() < self.ends
    }
}

impl Exchanged {
    async fn header(&self) -> Result<HeaderValue> {
        // While one renews a token that is still good, others go on with it.
        let mut failed = match self.flight.try_lock() {
            Ok(flight) => flight,
            Err(_) => match self.held(Held::is_good) {
                Some(header) => return Ok(header),
                None => self.flight.lock().await,
            },
        };
        if let Some(header) = self.held(Held::is_fresh) {
            return Ok(header);
        }
        if let Some((when, error)) = &*failed
            && when.elapsed() < FAILURE_COUNTS
        {
            return self.held(Held::is_good).ok_or_else(|| error.clone());
        }
        match self.renew().await {
            Ok(header) => {
                *failed = None;
                Ok(header)
            }
            Err(error) => {
                tracing::warn!(%error, "cannot renew the token");
                *failed = Some((Instant::now(), error.clone()));
                self.held(Held::is_good).ok_or(error)
            }
        }
    }

    async fn renew(&self) -> Result<HeaderValue> {
        let held = Held::new(&self.by.fresh().await?)?;
        let header = held.header.clone();
        *self.held.lock() = Some(held);
        Ok(header)
    }

    fn held(&self, is_enough: impl FnOnce(&Held) -> bool) -> Option<HeaderValue> {
        let held = self.held.lock();
        held.as_ref()
            .filter(|held| is_enough(held))
            .map(|held| held.header.clone())
    }

    fn forget(&self, header: Option<&HeaderValue>) {
        let forgotten = self
            .held
            .lock()
            .take_if(|held| Some(&held.header) == header);
        if let Some(held) = forgotten.filter(|held| held.doubtful)
            && let Ok(header) = held.header.to_str()
        {
            self.by
                .refused(header.strip_prefix(BEARER).unwrap_or(header));
        }
    }

    fn is_doubtful(&self, header: Option<&HeaderValue>) -> bool {
        let held = self.held.lock();
        held.as_ref()
            .is_some_and(|held| held.doubtful && Some(&held.header) == header)
    }

    fn trust(&self, header: Option<&HeaderValue>) {
        if let Some(held) = &mut *self.held.lock()
            && Some(&held.header) == header
        {
            held.doubtful = false;
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue> {
    let wrong = || Error::invalid("token", "expected a token without spaces and line breaks");
    if token.is_empty() || token.contains(|c: char| c.is_whitespace()) {
        return Err(wrong());
    }
    let mut header = HeaderValue::from_str(&format!("{BEARER}{token}")).map_err(|_| wrong())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Gives `token-1`, `token-2` and so on, each when it is let; fails while it is broken.
    #[derive(Debug)]
    struct Desk {
        given: AtomicUsize,
        let_go: Semaphore,
        broken: std::sync::atomic::AtomicBool,
    }

    impl Desk {
        fn new(let_go: usize) -> Arc<Self> {
            Arc::new(Self {
                given: AtomicUsize::new(0),
                let_go: Semaphore::new(let_go),
                broken: false.into(),
            })
        }

        fn asked(&self) -> usize {
            self.given.load(Ordering::SeqCst)
        }
    }

    impl Exchange for Arc<Desk> {
        fn fresh(&self) -> BoxFuture<'_, Result<Fresh>> {
            Box::pin(async {
                let number = self.given.fetch_add(1, Ordering::SeqCst) + 1;
                self.let_go.acquire().await.unwrap().forget();
                if self.broken.load(Ordering::SeqCst) {
                    return Err(Error::Unauthenticated {
                        reason: "revoked".into(),
                    });
                }
                Ok(Fresh {
                    token: Secret::new(format!("token-{number}")),
                    lifetime: Duration::from_secs(600),
                    kept: false,
                })
            })
        }
    }

    async fn token(source: &TokenSource) -> Result<String> {
        let header = source.header().await?.unwrap();
        Ok(header.to_str().unwrap().replace("Bearer ", ""))
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_many_renews_and_the_others_go_on_with_what_is_still_good() {
        let desk = Desk::new(1);
        let source = TokenSource::exchanged(desk.clone());
        let all = join_all((0..50).map(|_| token(&source))).await;
        assert!(all.into_iter().all(|token| token.unwrap() == "token-1"));
        assert_eq!(desk.asked(), 1);
        tokio::time::advance(Duration::from_secs(539)).await;
        assert_eq!(
            (token(&source).await.unwrap().as_str(), desk.asked()),
            ("token-1", 1)
        );
        tokio::time::advance(Duration::from_secs(2)).await;
        let mut renewing = Box::pin(token(&source));
        assert!(futures::poll!(renewing.as_mut()).is_pending());
        for _ in 0..10 {
            assert_eq!(token(&source).await.unwrap(), "token-1");
        }
        desk.let_go.add_permits(1);
        assert_eq!(renewing.await.unwrap(), "token-2");
        assert_eq!(
            (token(&source).await.unwrap().as_str(), desk.asked()),
            ("token-2", 2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_and_the_old_token_is_used_to_its_end() {
        let desk = Desk::new(1000);
        let source = TokenSource::exchanged(desk.clone());
        assert_eq!(token(&source).await.unwrap(), "token-1");
        desk.broken.store(true, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(541)).await;
        assert_eq!(token(&source).await.unwrap(), "token-1");
        tokio::time::advance(Duration::from_secs(60)).await;
        let all = join_all((0..50).map(|_| token(&source))).await;
        assert!(
            all.iter()
                .all(|token| matches!(token, Err(Error::Unauthenticated { .. })))
        );
        assert_eq!(desk.asked(), 3);
        desk.broken.store(false, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(token(&source).await.unwrap(), "token-4");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_the_server_refuses_is_not_sent_again() {
        let desk = Desk::new(1000);
        let source = TokenSource::exchanged(desk.clone());
        let first = source.header().await.unwrap();
        source.refused(first.as_ref());
        assert_eq!(token(&source).await.unwrap(), "token-2");
        // Said late, of the one before.
        source.refused(first.as_ref());
        assert_eq!(token(&source).await.unwrap(), "token-2");
        assert!(!format!("{source:?}").contains("token-2"), "{source:?}");
    }

    #[test]
    fn a_token_is_one_word() {
        assert!(TokenSource::fixed("a b").is_err() && TokenSource::fixed("").is_err());
    }
}
