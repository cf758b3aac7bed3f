//! Opening a store and serving it until told to stop.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::{
    auth::SecretKey,
    config::{S3Config, StaticConfigProvider},
    service::S3ServiceBuilder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Error, Service,
    auth::{KeyPair, Signed},
    disk::{Disk, FolderLock},
    key::Bucket,
    multipart,
    store::Store,
};

/// Connections at a time. More wait to be accepted.
const MAX_CONNECTIONS: usize = 512;
/// How long a request's header may take, and how long a connection may rest between requests. Longer than the 90 s after which
/// common clients drop idle connections themselves, so that they seldom send into one that is being closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a new connection may take until its first request begins.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// Bytes that a connection may read ahead.
const READ_AHEAD: usize = 256 << 10;
/// How long requests may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(15);
/// How long to wait when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request's XML: 10,000 parts with their checksums.
const MAX_XML: usize = 8 << 20;

/// What a store is opened with.
#[derive(Clone)]
pub struct Options {
    /// The folder of the store. Made if it is not there.
    pub root: PathBuf,
    /// The access key that requests are signed with.
    pub access_key: String,
    /// The secret key that requests are signed with.
    pub secret_key: String,
    /// Buckets that are made at the start, unless they are there.
    pub buckets: Vec<String>,
    /// The region that the endpoint says it is in, such as `us-east-1`. Signatures for any region are taken.
    pub region: String,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("root", &self.root)
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}

/// A store that is open: the only one on its folder, ready to be served.
pub struct Server {
    service: Service,
    _lock: Arc<FolderLock>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the store: makes its folders and buckets, checks that the file system can hold it, and clears away what writes
    /// left that ended early. Blocks for some milliseconds.
    ///
    /// # Errors
    /// If the folder cannot be used, another process serves it, or an option makes no sense.
    pub fn open(options: Options) -> Result<Self, Error> {
        if options.access_key.is_empty() || options.secret_key.is_empty() {
            return Err(Error::NoCredentials);
        }
        let lock = FolderLock::take(&options.root)?;
        let disk = Disk::open(&options.root)?;
        multipart::sweep(&disk)?;
        for name in &options.buckets {
            let bucket =
                Bucket::parse(name).map_err(|_| Error::BucketName { name: name.clone() })?;
            let folder = disk.bucket_folder(&bucket);
            disk.make_bucket(&folder)
                .map_err(|error| Error::folder("create", folder, error))?;
        }
        let mut builder = S3ServiceBuilder::new(Store::new(disk, &options.region));
        builder.set_auth(KeyPair {
            access_key: options.access_key,
            secret_key: SecretKey::from(options.secret_key),
        });
        builder.set_access(Signed);
        let mut config = S3Config::default();
        config.xml_max_body_size = MAX_XML;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        Ok(Self {
            service: Service::new(builder.build()),
            _lock: Arc::new(lock),
        })
    }

    /// The endpoint without a listener, for servers that accept connections themselves. Lives as long as the [`Server`] should.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Serves HTTP/1.1 until `shutdown` is cancelled, then lets requests that are being served finish, for at most 15 s.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let tasks = TaskTracker::new();
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let result = loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                accepted = accept(&listener, &room) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let serving = serve(stream, self.service.clone(), shutdown.clone());
                    tasks.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) => break Err(Error::Accept(error)),
            }
        };
        tasks.close();
        tasks.wait().await;
        result
    }
}

/// The next connection, once there is room for it. Waits out a lack of file descriptors.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, Option<tokio::sync::OwnedSemaphorePermit>)> {
    let permit = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok((stream, permit)),
            Err(error) if is_fatal(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Everything else concerns one connection, or passes.
fn is_fatal(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|errno| {
        [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP].contains(&errno)
    })
}

async fn serve(stream: TcpStream, service: Service, shutdown: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection went away");
        return;
    }
    // Who opens a connection and asks for nothing does not hold its place for long.
    let mut first = [0];
    let heard = tokio::select! {
        biased;
        heard = timeout(FIRST_REQUEST, stream.peek(&mut first)) => matches!(heard, Ok(Ok(1))),
        () = shutdown.cancelled() => false,
    };
    if !heard {
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(READ_AHEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match timeout(GRACE, connection.as_mut()).await {
                Ok(result) => result,
                Err(_) => return tracing::warn!("a request was cut off because the server stops"),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn who_connects_and_asks_for_nothing_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(Options {
            root: folder.path().to_owned(),
            access_key: "key".into(),
            secret_key: "secret".into(),
            buckets: Vec::new(),
            region: "us-east-1".into(),
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let start = Instant::now();
        serve(stream, server.service(), CancellationToken::new()).await;
        let took = start.elapsed();
        assert!(
            (FIRST_REQUEST..FIRST_REQUEST * 2).contains(&took),
            "{took:?}"
        );
    }
}
