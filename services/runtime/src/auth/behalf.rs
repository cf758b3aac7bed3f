//! For whom a service calls another: the principal whose call it is handling, said in a header that only services may send.

use std::{cell::OnceCell, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Caller, Principal, Role};

/// The header; what is in it counts only beside a service's own token.
pub(crate) const ON_BEHALF_OF: HeaderName = HeaderName::from_static("granary-on-behalf-of");

tokio::task_local! {
    static HANDLED: Handled;
}

/// A call that is being handled, and the header that says whose, once it is asked for.
struct Handled {
    caller: Arc<Caller>,
    header: OnceCell<Option<HeaderValue>>,
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
pub(super) async fn handling<F: Future>(caller: Arc<Caller>, work: F) -> F::Output {
    let header = OnceCell::new();
    HANDLED.scope(Handled { caller, header }, work).await
}

/// The header for calls that are made now; none if nobody's call is being handled.
pub(crate) fn header() -> Option<HeaderValue> {
    let header = |handled: &Handled| {
        let made = || made(handled.caller.author());
        handled.header.get_or_init(made).clone()
    };
    HANDLED.try_with(header).ok()?
}

fn made(caller: &Principal) -> Option<HeaderValue> {
    // A service that calls for itself: its role is not one that can be lent, and the next service's own is as good.
    if caller.role == Some(Role::Service) {
        return None;
    }
    let said = serde_json::to_vec(&Said {
        issuer: caller.issuer.clone(),
        subject: caller.subject.clone(),
        email: caller.email.clone(),
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

    fn call_of(principal: Principal) -> Arc<Caller> {
        Arc::new(Caller {
            role: principal.role,
            principal,
            project: None,
            on_behalf_of: None,
        })
    }

    #[tokio::test]
    async fn the_caller_of_a_call_is_named_in_the_calls_made_for_it() {
        let ada = Principal {
            issuer: "https://id.example".into(),
            subject: "ada".into(),
            email: Some("ada@example.org".into()),
            role: None,
            expires: 1,
        };
        let said = async { [header(), header()].map(|header| read(&header.unwrap())) };
        let said = handling(call_of(ada.clone()), said).await;
        assert_eq!(said, [Some(ada.clone()), Some(ada.clone())]);
        assert_eq!(header(), None);
        let service = Principal {
            role: Some(Role::Service),
            ..ada.clone()
        };
        let service = call_of(service);
        assert_eq!(handling(service.clone(), async { header() }).await, None);
        let for_ada = Arc::new(Caller {
            on_behalf_of: Some(ada.clone()),
            ..Caller::clone(&service)
        });
        let said = handling(for_ada, async { header().and_then(|h| read(&h)) }).await;
        assert_eq!(said.as_ref(), Some(&ada));
        assert_eq!(super::read(&HeaderValue::from_static("nonsense")), None);
    }
}
