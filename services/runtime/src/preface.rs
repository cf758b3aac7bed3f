//! Connections whose client never says anything.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tonic::transport::server::Connected;

/// What every HTTP/2 client sends first, in bytes: `PRI * HTTP/2.0` and so on (RFC 9113, section 3.4).
const PREFACE: usize = 24;
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that ends unless its client greets within 30 s. From then on, the server's pings find out who is gone.
#[derive(Debug)]
pub(crate) struct Greeted<IO> {
    io: IO,
    left: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<IO> Greeted<IO> {
    /// From now on.
    pub(crate) fn soon(io: IO) -> Self {
        Self {
            io,
            left: PREFACE,
            deadline: Some(Box::pin(tokio::time::sleep(PATIENCE))),
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Greeted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        let Some(deadline) = &mut self.deadline else {
            return read;
        };
        if read.is_pending() {
            return deadline
                .as_mut()
                .poll(context)
                .map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        if self.left == 0 {
            self.deadline = None;
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Greeted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl<IO: Connected> Connected for Greeted<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::Instant,
    };

    const GREETING: &[u8; PREFACE] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn connection() -> (DuplexStream, Greeted<DuplexStream>) {
        let (near, far) = duplex(1024);
        (near, Greeted::soon(far))
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_greet_is_not_waited_for() {
        for said in [&b""[..], &GREETING[..PREFACE - 1]] {
            let (mut near, mut far) = connection();
            near.write_all(said).await.unwrap();
            let start = Instant::now();
            let mut heard = Vec::new();
            let error = far.read_to_end(&mut heard).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!((start.elapsed(), heard.as_slice()), (PATIENCE, said));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_greeted_may_rest() {
        let (mut near, mut far) = connection();
        let client = async {
            for part in GREETING.chunks(10) {
                near.write_all(part).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tokio::time::sleep(PATIENCE * 100).await;
            near.write_all(b"more").await.unwrap();
            drop(near);
        };
        let mut heard = Vec::new();
        let (read, ()) = tokio::join!(far.read_to_end(&mut heard), client);
        assert_eq!(read.unwrap(), PREFACE + 4);
    }
}
