//! A connection that makes unary calls with little work of its own, since the load shares the processors with the server.

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{
    HeaderValue, Request, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, TE},
};

/// One HTTP/2 connection with a token.
#[derive(Clone)]
pub(crate) struct Wire {
    sender: SendRequest<Bytes>,
    endpoint: String,
    authorization: HeaderValue,
}

impl Wire {
    /// Connects to `endpoint`, which is `http://HOST:PORT`.
    pub(crate) async fn connect(endpoint: &str, token: &str) -> anyhow::Result<Self> {
        let address = endpoint.trim_start_matches("http://");
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            endpoint: endpoint.to_owned(),
            authorization: HeaderValue::try_from(format!("Bearer {token}"))?,
        })
    }

    /// Where a method is called: `method` is `/PACKAGE.SERVICE/METHOD`.
    pub(crate) fn uri(&self, method: &str) -> anyhow::Result<Uri> {
        Ok(format!("{}{method}", self.endpoint).parse()?)
    }

    /// Makes a call and reads its answer to the end; a status other than OK is an error.
    pub(crate) async fn call(
        mut self,
        uri: Uri,
        message: &impl prost::Message,
    ) -> anyhow::Result<Self> {
        let mut request = Request::post(uri)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(())?;
        request
            .headers_mut()
            .insert(AUTHORIZATION, self.authorization.clone());
        futures::future::poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut body) = self.sender.send_request(request, false)?;
        body.send_data(framed(message)?, true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        let trailers = body.trailers().await?;
        let status = trailers.as_ref().unwrap_or(&head.headers);
        anyhow::ensure!(
            status.get("grpc-status").context("no status")? == "0",
            "the call failed: {status:?}"
        );
        Ok(self)
    }
}

/// A message as gRPC frames it: no compression, its length, its bytes.
fn framed(message: &impl prost::Message) -> anyhow::Result<Bytes> {
    let mut frame = BytesMut::with_capacity(5 + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len())?);
    message.encode(&mut frame)?;
    Ok(frame.freeze())
}
