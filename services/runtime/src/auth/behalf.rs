//! For whom a service calls another: the principal whose call it is handling, said in a header that only services may send.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Principal, Role};

/// The header; what is in it counts only beside a service's own token.
pub(crate) const ON_BEHALF_OF: HeaderName = HeaderName::from_static("granary-on-behalf-of");

tokio::task_local! {
    /// Whose call is being handled.
    static CALLER: Principal;
}

#[derive(Serialize, Deserialize)]
struct Said {
    issuer: Arc<str>,
    subject: Arc<str>,
    email: Option<Arc<str>>,
    role: Option<Role>,
    expires: i64,
}

/// Handles a call of `caller`: what is called meanwhile says so.
pub(super) async fn handling<F: Future>(caller: Principal, work: F) -> F::Output {
    CALLER.scope(caller, work).await
}

/// The header for calls that are made now; none if nobody's call is being handled.
pub(crate) fn header() -> Option<HeaderValue> {
    let caller = CALLER.try_with(Principal::clone).ok()?;
    // A service that calls for itself: its role is not one that can be lent, and the next service's own is as good.
    if caller.role == Some(Role::Service) {
        return None;
    }
    let said = serde_json::to_vec(&Said {
        issuer: caller.issuer,
        subject: caller.subject,
        email: caller.email,
        role: caller.role,
        expires: caller.expires,
    })
    .ok()?;
    let mut header = HeaderValue::try_from(URL_SAFE_NO_PAD.encode(said)).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Reads the header.
pub(super) fn read(header: &HeaderValue) -> Option<Principal> {
    let said: Said = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    Some(Principal {
        issuer: said.issuer,
        subject: said.subject,
        email: said.email,
        role: said.role.filter(|role| *role != Role::Service),
        expires: said.expires,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_caller_of_a_call_is_named_in_the_calls_made_for_it() {
        let ada = Principal {
            issuer: "https://id.example".into(),
            subject: "ada".into(),
            email: Some("ada@example.org".into()),
            role: None,
            expires: 1,
        };
        let read = handling(ada.clone(), async { header().and_then(|h| read(&h)) }).await;
        assert_eq!(read.as_ref(), Some(&ada));
        assert_eq!(header(), None);
        let service = Principal {
            role: Some(Role::Service),
            ..ada
        };
        assert_eq!(handling(service, async { header() }).await, None);
        assert_eq!(super::read(&HeaderValue::from_static("nonsense")), None);
    }
}
