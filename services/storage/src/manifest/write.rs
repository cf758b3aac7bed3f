//! Writes one manifest, in bounded memory however many assets the session has.

use granary_core::{
    Error, Result,
    layout::{manifest_key, split_uri},
    name::SessionName,
};
use granary_proto::{json::to_json, metadata::v1::Session};

use super::FORMAT;
use crate::{
    Core,
    s3::{Assembled, Client, Place},
};

const PAGE: i32 = 500;
/// How often a manifest is made that others write at the same time.
pub(super) const ROUNDS: usize = 5;
/// Manifests up to this size are one PUT, longer ones are sent in parts of at least this size.
const PIECE: usize = 8 << 20;
pub(super) const MEDIA_TYPE: &str = "application/json";

impl Core {
    /// Writes the manifest of a session, over the one before. If another server writes it at the same time, it is made once more: the one
    /// that was asked for last is the one that stays.
    pub(crate) async fn write_manifest(&self, name: &SessionName) -> Result<()> {
        let uri = self.metadata.session(name).await?.uri;
        let place = Place {
            bucket: split_uri(&uri)?.0.to_owned(),
            key: manifest_key(name),
        };
        for _ in 0..ROUNDS {
            // Before what goes into it is read: whatever is written from here on may be newer.
            let previous = self.s3.head(&place).await?.and_then(|head| head.etag);
            let session = self.metadata.session(name).await?;
            let first = first_line(&session)?.into_bytes();
            let mut out = Out::over(&self.s3, place.clone(), previous, first);
            if let Err(error) = self.write_assets(name, &mut out).await {
                out.abandon().await;
                return Err(error);
            }
            if out.finish().await? {
                return Ok(());
            }
        }
        Err(Error::unavailable(
            "the manifest of a session is being written by several servers at once: try again",
            name.to_string(),
        ))
    }

    async fn write_assets(&self, name: &SessionName, out: &mut Out<'_>) -> Result<()> {
        let (mut page_token, mut separator) = (String::new(), "");
        loop {
            let page = self.metadata.assets_of(name, PAGE, page_token).await?;
            for asset in &page.assets {
                out.buffer.extend_from_slice(separator.as_bytes());
                out.buffer
                    .extend_from_slice(to_json(asset)?.to_string().as_bytes());
                separator = ",\n";
            }
            if page.next_page_token.is_empty() {
                out.buffer.extend_from_slice(b"\n]}\n");
                return Ok(());
            }
            page_token = page.next_page_token;
            out.flush(PIECE).await?;
        }
    }
}

fn first_line(session: &Session) -> Result<String> {
    Ok(format!(
        "{{\"format\":{FORMAT},\"session\":{},\"assets\":[\n",
        to_json(session)?
    ))
}

/// Where a manifest goes.
struct Out<'a> {
    s3: &'a Client,
    place: Place,
    /// The ETag of the manifest that it replaces.
    previous: Option<String>,
    buffer: Vec<u8>,
    /// The multipart upload and how many parts it has, once there is one.
    multipart: Option<(String, u16)>,
}

impl<'a> Out<'a> {
    fn over(s3: &'a Client, place: Place, previous: Option<String>, buffer: Vec<u8>) -> Self {
        Self {
            s3,
            place,
            previous,
            buffer,
            multipart: None,
        }
    }

    /// Sends what is gathered as a part, if it is at least `least` bytes.
    async fn flush(&mut self, least: usize) -> Result<()> {
        if self.buffer.len() < least {
            return Ok(());
        }
        let (id, number) = match self.multipart.take() {
            Some((id, count)) => (id, count + 1),
            None => {
                let begun = self.s3.begin_multipart(&self.place, MEDIA_TYPE, None);
                (begun.await?, 1)
            }
        };
        self.multipart = Some((id.clone(), number));
        if number > 10_000 {
            return Err(Error::internal(
                "writing a manifest",
                "it is longer than the store takes",
            ));
        }
        let body = std::mem::take(&mut self.buffer);
        self.s3
            .put_part(&self.place, &id, number, body.into())
            .await
    }

    /// Puts it in its place, unless there is another one by now than the one that it replaces.
    async fn finish(mut self) -> Result<bool> {
        if self.multipart.is_none() {
            let body = std::mem::take(&mut self.buffer).into();
            let previous = self.previous.as_deref();
            return self.s3.put(&self.place, body, MEDIA_TYPE, previous).await;
        }
        let done = self.complete().await;
        if !matches!(done, Ok(true)) {
            self.abandon().await;
        }
        done
    }

    async fn complete(&mut self) -> Result<bool> {
        self.flush(1).await?;
        let Some((id, _)) = &self.multipart else {
            return Ok(false);
        };
        let parts = self
            .s3
            .list_parts(&self.place, id)
            .await?
            .unwrap_or_default();
        let previous = self.previous.as_deref();
        let done = self.s3.complete(&self.place, id, &parts, previous).await?;
        Ok(done == Assembled::Done)
    }

    /// Drops the parts that were sent.
    async fn abandon(&self) {
        if let Some((id, _)) = &self.multipart
            && let Err(error) = self.s3.abort(&self.place, id).await
        {
            tracing::debug!(%error, "parts of a manifest were left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn place() -> Place {
        Place {
            bucket: "granary-raw".into(),
            key: "p/d/s/.granary/session.json".into(),
        }
    }

    async fn etag(bench: &Bench) -> Option<String> {
        let head = bench.core.s3.head(&place()).await.unwrap();
        head.and_then(|head| head.etag)
    }

    #[tokio::test]
    async fn long_manifests_go_in_parts_and_over_the_one_before() {
        let bench = Bench::start().await;
        let s3 = &bench.core.s3;
        assert!(
            s3.put(&place(), "before".into(), MEDIA_TYPE, None)
                .await
                .unwrap()
        );
        let mut out = Out::over(s3, place(), etag(&bench).await, vec![b'a'; PIECE]);
        out.flush(PIECE).await.unwrap();
        out.buffer.extend_from_slice(b"bc");
        out.flush(PIECE).await.unwrap();
        assert_eq!(
            out.buffer, b"bc",
            "parts of less than 8 MiB are refused by S3"
        );
        assert!(out.finish().await.unwrap());
        let written = s3.read(&place()).await.unwrap().unwrap();
        assert_eq!((written.len(), written.last()), (PIECE + 2, Some(&b'c')));
    }

    #[tokio::test]
    async fn a_manifest_is_not_written_over_one_that_came_meanwhile() {
        let bench = Bench::start().await;
        let s3 = &bench.core.s3;
        for before in [None, Some("before")] {
            if let Some(before) = before {
                let previous = etag(&bench).await;
                let body = before.into();
                assert!(
                    s3.put(&place(), body, MEDIA_TYPE, previous.as_deref())
                        .await
                        .unwrap()
                );
            }
            let seen = etag(&bench).await;
            let short = Out::over(s3, place(), seen.clone(), b"older".to_vec());
            let mut long = Out::over(s3, place(), seen.clone(), vec![b'a'; PIECE]);
            long.flush(PIECE).await.unwrap();
            assert!(
                s3.put(&place(), "newer".into(), MEDIA_TYPE, seen.as_deref())
                    .await
                    .unwrap()
            );
            assert!(!short.finish().await.unwrap());
            assert!(!long.finish().await.unwrap());
            assert_eq!(s3.read(&place()).await.unwrap().unwrap(), "newer");
        }
    }
}
