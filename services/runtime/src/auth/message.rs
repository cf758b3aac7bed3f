//! The first message of a call, read before the call is let through, and given back to whoever handles it.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use granary_core::{Error, Result};
use granary_proto::MAX_MESSAGE_BYTES;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tonic::{Status, body::Body};

use super::{Principal, budget::Budget};

/// A flag and a length stand before each message.
const HEAD: usize = 5;

/// How long a message may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages up to this size are read at once, in bytes; of larger ones only as many at the same time as the budget holds.
const SMALL: usize = 64 * 1024;

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    /// One of Granary's services, which waits for nobody outside.
    Inside,
    /// Somebody with a token, whose large messages take from a budget.
    Outside(&'a Budget, &'a Principal),
}

/// The encoded first message, and a body that begins with it again.
pub(super) async fn first(body: Body, origin: Origin<'_>) -> Result<(Bytes, Body)> {
    tokio::time::timeout(PATIENCE, read(body, origin))
        .await
        .unwrap_or_else(|_| {
            Err(Error::DeadlineExceeded {
                reason: "the message took too long to arrive: send it again".into(),
            })
        })
}

async fn read(mut body: Body, origin: Origin<'_>) -> Result<(Bytes, Body)> {
    let mut read = body_frame(&mut body).await?;
    while read.len() < HEAD {
        read = [read, body_frame(&mut body).await?].concat().into();
    }
    let length = wanted(&read)? - HEAD;
    let _room = match (origin, u32::try_from(length)) {
        (Origin::Outside(budget, principal), Ok(size)) if length > SMALL => {
            Some(budget.room(principal, size).await)
        }
        _ => None,
    };
    if read.len() < wanted(&read)? {
        let mut whole = BytesMut::from(read);
        while whole.len() < wanted(&whole)? {
            whole.extend_from_slice(&body_frame(&mut body).await?);
        }
        read = whole.freeze();
    }
    let message = read.slice(HEAD..wanted(&read)?);
    let begun = Begun {
        first: Some(read),
        rest: body,
    };
    Ok((message, Body::new(begun)))
}

async fn body_frame(body: &mut Body) -> Result<Bytes> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| gone())?;
        if let Ok(data) = frame.into_data()
            && data.has_remaining()
        {
            return Ok(data);
        }
    }
    Err(gone())
}

fn gone() -> Error {
    Error::Cancelled {
        reason: "the call ended before its message".into(),
    }
}

// How many bytes there are up to the end of the message, as far as can be told.
fn wanted(read: &[u8]) -> Result<usize> {
    let Some((head, _)) = read.split_first_chunk::<HEAD>() else {
        return Ok(HEAD);
    };
    let [flag, length @ ..] = *head;
    if flag != 0 {
        return Err(Error::invalid("", "compressed messages are not accepted"));
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE_BYTES {
        return Err(Error::Exhausted {
            reason: format!(
                "a message has at most {MAX_MESSAGE_BYTES} bytes, this one has {length}"
            ),
            retry_after: None,
            quota_of: None,
        });
    }
    Ok(HEAD + length)
}

struct Begun {
    first: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let mut hint = self.rest.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + first);
        }
        hint.set_lower(hint.lower() + first);
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::{
        super::budget::{BUDGET, SHARE},
        *,
    };

    fn principal(subject: &str) -> Principal {
        Principal {
            subject: subject.into(),
            issuer: "https://id.example".into(),
            email: None,
            role: None,
            expires: i64::MAX,
        }
    }

    fn body(chunks: &[&[u8]]) -> Body {
        let frames: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(chunk))))
            .collect();
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_message_in_pieces_is_read_whole_and_comes_again() {
        let (budget, ada) = (Budget::default(), principal("ada"));
        let pieces = body(&[&[0, 0], &[0, 0, 3, b'a'], b"bc", b"more"]);
        let read = first(pieces, Origin::Outside(&budget, &ada)).await;
        let (message, body) = read.unwrap();
        assert_eq!(&message[..], b"abc");
        let again = body.collect().await.unwrap().to_bytes();
        assert_eq!(&again[..], b"\0\0\0\0\x03abcmore");
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let refused = |chunks: &'static [&'static [u8]]| async move {
            first(body(chunks), Origin::Inside)
                .await
                .map(drop)
                .unwrap_err()
        };
        assert!(matches!(
            refused(&[b"\0\0\0\0\x03ab"]).await,
            Error::Cancelled { .. }
        ));
        assert!(matches!(refused(&[]).await, Error::Cancelled { .. }));
        assert!(matches!(
            refused(&[b"\x01\0\0\0\x01a"]).await,
            Error::Invalid(_)
        ));
        assert!(matches!(
            refused(&[b"\0\xff\0\0\0"]).await,
            Error::Exhausted { .. }
        ));
    }

    /// The head of a message of 8 MiB whose rest never comes.
    fn half() -> Body {
        let head = Frame::data(Bytes::from_static(b"\0\0\x80\0\0half"));
        let frames = stream::iter([Ok::<_, Status>(head)]).chain(stream::pending());
        Body::new(StreamBody::new(frames))
    }

    fn large() -> Body {
        let mut large = vec![0, 0, 1, 0, 1];
        large.resize(HEAD + SMALL + 1, b'a');
        body(&[&large])
    }

    /// Has principals send as many halves as there is room for.
    async fn halves<'a>(
        budget: &'a Budget,
        principals: &'a [Principal],
    ) -> Vec<Pin<Box<dyn Future<Output = Result<(Bytes, Body)>> + 'a>>> {
        let of = move |principal| {
            (0..SHARE / MAX_MESSAGE_BYTES).map(move |_| {
                Box::pin(first(half(), Origin::Outside(budget, principal)))
                    as Pin<Box<dyn Future<Output = _>>>
            })
        };
        let mut halves: Vec<_> = principals.iter().flat_map(of).collect();
        for half in &mut halves {
            assert!(futures::poll!(half).is_pending());
        }
        halves
    }

    #[tokio::test(start_paused = true)]
    async fn half_messages_from_outside_hold_up_large_ones_from_there_and_nothing_else() {
        let budget = Budget::default();
        let some: Vec<_> = (0..BUDGET / SHARE)
            .map(|n| principal(&n.to_string()))
            .collect();
        let halves = halves(&budget, &some).await;
        let ada = principal("ada");
        let outside = Origin::Outside(&budget, &ada);
        let mut waits = std::pin::pin!(first(large(), outside));
        assert!(futures::poll!(&mut waits).is_pending());
        first(large(), Origin::Inside).await.unwrap();
        first(body(&[b"\0\0\0\0\x01a"]), outside).await.unwrap();
        for half in halves {
            assert!(matches!(half.await, Err(Error::DeadlineExceeded { .. })));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_messages_of_one_principal_hold_up_its_own_large_ones_only() {
        let budget = Budget::default();
        let [eve, ada] = [[principal("eve")], [principal("ada")]];
        let halves = halves(&budget, &eve).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut waits = std::pin::pin!(first(large(), Origin::Outside(&budget, &eve[0])));
        assert!(futures::poll!(&mut waits).is_pending());
        first(large(), Origin::Outside(&budget, &ada[0]))
            .await
            .unwrap();
        for half in halves {
            assert!(matches!(half.await, Err(Error::DeadlineExceeded { .. })));
        }
        waits.await.unwrap();
        first(large(), Origin::Outside(&budget, &ada[0]))
            .await
            .unwrap();
        assert_eq!(budget.holders(), 1, "who is done is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn the_keys_of_a_project_share_one_share() {
        let budget = Budget::default();
        let keys = ["projects/p/apiKeys/a", "projects/p/apiKeys/b"].map(principal);
        let _halves = halves(&budget, &keys[..1]).await;
        let mut waits = std::pin::pin!(first(large(), Origin::Outside(&budget, &keys[1])));
        assert!(futures::poll!(&mut waits).is_pending());
    }
}
