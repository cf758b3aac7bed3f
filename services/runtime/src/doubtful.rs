//! The first call with a token that was kept from an earlier time: the server may have another key by now, or what the token stands for may have
//! lost its rights since. What is denied is tried once more, with a token that was got anew.

use granary_core::Error;
use granary_proto::status::to_status;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, body::Body, transport};

use crate::{auth::TokenSource, link::Way};

/// Makes a call whose header holds such a token. Its message is in memory, as those of all calls are, and is kept until it is answered.
pub(crate) async fn call(
    way: Way,
    request: Request<Body>,
    token: &TokenSource,
) -> Result<Response<Body>, transport::Error> {
    let (head, body) = request.into_parts();
    let message = match body.collect().await {
        Ok(message) => message.to_bytes(),
        Err(status) => return Ok(status.into_http()),
    };
    let with_message = |head| Request::from_parts(head, Body::new(Full::new(message.clone())));
    let header = head.headers.get(AUTHORIZATION).cloned();
    let again = way.clone();
    let response = way.call(with_message(head.clone())).await?;
    if !is_denied(&response) {
        token.accepted(header.as_ref());
        return Ok(response);
    }
    token.refused(header.as_ref());
    let mut head = head;
    match token.header().await {
        Ok(Some(fresh)) => head.headers.insert(AUTHORIZATION, fresh),
        // It is gone for good: that says more than what was denied.
        Err(error @ Error::Unauthenticated { .. }) => return Ok(to_status(error).into_http()),
        Ok(None) | Err(_) => return Ok(response),
    };
    again.ready().await?.call(with_message(head)).await
}

// Those who lost all rights are told that there is nothing. Such answers have no body: the status stands in the headers.
fn is_denied(response: &Response<Body>) -> bool {
    let status = response.headers().get("grpc-status");
    let code = status.map(|status| Code::from_bytes(status.as_bytes()));
    matches!(
        code,
        Some(Code::Unauthenticated | Code::PermissionDenied | Code::NotFound)
    )
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc, time::Duration};

    use futures::future::BoxFuture;
    use granary_core::Result;
    use parking_lot::Mutex;
    use tonic::Status;
    use tower::{Service as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};

    use super::*;
    use crate::{
        Link,
        auth::{Exchange, Fresh},
        secret::Secret,
    };

    /// Gives the token that was kept until it is refused, then one that is new, or none if the key is gone.
    #[derive(Debug, Default)]
    struct Desk {
        refused: Mutex<Vec<String>>,
        gone: bool,
    }

    impl Exchange for Arc<Desk> {
        fn fresh(&self) -> BoxFuture<'_, Result<Fresh>> {
            Box::pin(async {
                let kept = self.refused.lock().is_empty();
                if !kept && self.gone {
                    return Err(Error::Unauthenticated {
                        reason: "revoked".into(),
                    });
                }
                Ok(Fresh {
                    token: Secret::new(if kept { "kept" } else { "new" }),
                    lifetime: Duration::from_secs(600),
                    kept,
                })
            })
        }

        fn refused(&self, token: &str) {
            self.refused.lock().push(token.to_owned());
        }
    }

    /// Calls as a server sees them: the token and the message.
    type Heard = Arc<Mutex<Vec<(String, String)>>>;

    /// To a server that answers calls with the kept token so, and all others well.
    fn link(desk: &Arc<Desk>, to_kept: Code) -> (Link, Heard) {
        let heard = Heard::default();
        let noting = heard.clone();
        let served = service_fn(move |request: Request<Body>| {
            let noting = noting.clone();
            async move {
                let token = request.headers()[AUTHORIZATION]
                    .to_str()
                    .unwrap()
                    .to_owned();
                let message = request.into_body().collect().await.unwrap().to_bytes();
                let message = String::from_utf8(message.to_vec()).unwrap();
                noting.lock().push((token.clone(), message));
                let code = if token == "Bearer kept" {
                    to_kept
                } else {
                    Code::Ok
                };
                Ok::<_, Infallible>(Status::new(code, "").into_http())
            }
        });
        let token = TokenSource::exchanged(desk.clone());
        (Link::local(BoxCloneSyncService::new(served), token), heard)
    }

    async fn call(link: &Link) -> Code {
        let message = Request::new(Body::new(Full::new("message".into())));
        let answer = link.clone().ready().await.unwrap().call(message).await;
        Status::from_header_map(answer.unwrap().headers())
            .unwrap()
            .code()
    }

    fn heard(tokens: &[&str]) -> Vec<(String, String)> {
        let one = |token: &&str| (format!("Bearer {token}"), "message".to_owned());
        tokens.iter().map(one).collect()
    }

    #[tokio::test]
    async fn a_kept_token_is_good_until_it_is_denied_and_then_got_anew_once() {
        for code in [
            Code::Unauthenticated,
            Code::NotFound,
            Code::PermissionDenied,
        ] {
            let desk = Arc::new(Desk::default());
            let (link, seen) = link(&desk, code);
            assert_eq!(call(&link).await, Code::Ok, "{code:?}");
            assert_eq!(*seen.lock(), heard(&["kept", "new"]));
            assert_eq!(*desk.refused.lock(), ["kept"]);
        }
        let desk = Arc::new(Desk::default());
        let (link, seen) = link(&desk, Code::InvalidArgument);
        assert_eq!(call(&link).await, Code::InvalidArgument);
        assert_eq!(*seen.lock(), heard(&["kept"]));
    }

    #[tokio::test]
    async fn a_token_that_was_accepted_is_doubted_no_more() {
        let desk = Arc::new(Desk::default());
        let (link, seen) = link(&desk, Code::Ok);
        assert_eq!((call(&link).await, call(&link).await), (Code::Ok, Code::Ok));
        assert_eq!(*seen.lock(), heard(&["kept", "kept"]));
        let token = TokenSource::exchanged(desk);
        let header = token.header().await.unwrap();
        assert!(token.is_doubtful(header.as_ref()));
        token.accepted(header.as_ref());
        assert!(!token.is_doubtful(header.as_ref()));
    }

    #[tokio::test]
    async fn a_key_that_is_gone_is_what_is_said() {
        let desk = Arc::new(Desk {
            gone: true,
            ..Desk::default()
        });
        let (link, seen) = link(&desk, Code::NotFound);
        assert_eq!(call(&link).await, Code::Unauthenticated);
        assert_eq!(*seen.lock(), heard(&["kept"]));
    }
}
