//! Writes one manifest, in bounded memory however many assets the session has.

use granary_core::{
    Error, Result,
    layout::{manifest_key, split_uri},
    name::SessionName,
};
use granary_proto::{json::to_json, metadata::v1::Session};

use crate::{
    Core,
    s3::{Assembled, Client, Place},
};

const PAGE: i32 = 500;
/// Manifests up to this size are one PUT, longer ones are sent in parts of at least this size.
const PIECE: usize = 8 << 20;
const MEDIA_TYPE: &str = "application/json";

impl Core {
    /// Writes the manifest of a session, over the one before.
    pub(crate) async fn write_manifest(&self, name: &SessionName) -> Result<()> {
        let session = self.metadata.session(name).await?;
        let place = Place {
            bucket: split_uri(&session.uri)?.0.to_owned(),
            key: manifest_key(name),
        };
        let mut out = Out {
            s3: &self.s3,
            place,
            buffer: first_line(&session)?.into_bytes(),
            multipart: None,
        };
        match self.write_assets(name, &mut out).await {
            Ok(()) => out.finish().await,
            Err(error) => {
                out.abandon().await;
                Err(error)
            }
        }
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
        "{{\"format\":1,\"session\":{},\"assets\":[\n",
        to_json(session)?
    ))
}

/// Where a manifest goes.
struct Out<'a> {
    s3: &'a Client,
    place: Place,
    buffer: Vec<u8>,
    /// The multipart upload and how many parts it has, once there is one.
    multipart: Option<(String, u16)>,
}

impl Out<'_> {
    /// Sends what is gathered as a part, if it is at least `least` bytes.
    async fn flush(&mut self, least: usize) -> Result<()> {
        if self.buffer.len() < least {
            return Ok(());
        }
        let (id, number) = match self.multipart.take() {
            Some((id, count)) => (id, count + 1),
            None => (self.s3.begin_multipart(&self.place, MEDIA_TYPE).await?, 1),
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

    async fn finish(mut self) -> Result<()> {
        if self.multipart.is_none() {
            let body = std::mem::take(&mut self.buffer);
            return self.s3.put(&self.place, body.into(), MEDIA_TYPE).await;
        }
        let done = self.complete().await;
        if done.is_err() {
            self.abandon().await;
        }
        done
    }

    async fn complete(&mut self) -> Result<()> {
        self.flush(1).await?;
        let Some((id, _)) = &self.multipart else {
            return Ok(());
        };
        let parts = self
            .s3
            .list_parts(&self.place, id)
            .await?
            .unwrap_or_default();
        match self.s3.complete(&self.place, id, &parts, false).await? {
            Assembled::Done => Ok(()),
            Assembled::Taken | Assembled::Gone => Err(Error::unavailable(
                "the parts of a manifest are gone: try again",
                "nothing to complete",
            )),
        }
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

    #[tokio::test]
    async fn long_manifests_go_in_parts_and_over_the_one_before() {
        let bench = Bench::start().await;
        let place = Place {
            bucket: "granary-raw".into(),
            key: "p/d/s/.granary/session.json".into(),
        };
        bench
            .core
            .s3
            .put(&place, "before".into(), MEDIA_TYPE)
            .await
            .unwrap();
        let mut out = Out {
            s3: &bench.core.s3,
            place: place.clone(),
            buffer: vec![b'a'; PIECE],
            multipart: None,
        };
        out.flush(PIECE).await.unwrap();
        out.buffer.extend_from_slice(b"bc");
        out.flush(PIECE).await.unwrap();
        assert_eq!(
            out.buffer, b"bc",
            "parts of less than 8 MiB are refused by S3"
        );
        out.finish().await.unwrap();
        let written = bench.core.s3.read(&place).await.unwrap().unwrap();
        assert_eq!((written.len(), written.last()), (PIECE + 2, Some(&b'c')));
    }
}
