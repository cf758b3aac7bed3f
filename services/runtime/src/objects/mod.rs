//! The object store as services see it: where it is, and reading what lies in it.
//!
//! Signing, writing and deleting belong to the Storage service; everybody else reads by `s3://{bucket}/{key}`.

pub mod answer;

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use granary_core::{
    Error, Result,
    layout::{Layout, split_uri},
};
use http::StatusCode;
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use url::Url;

use crate::secret::Secret;

/// Where the object store is and how to sign for it.
#[derive(Clone, Debug)]
pub struct ObjectsConfig {
    /// The S3 endpoint that services call.
    pub endpoint: Url,
    /// The S3 endpoint in presigned URLs, as clients reach it.
    pub public_endpoint: Url,
    /// The region to sign for.
    pub region: String,
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: Secret,
    /// Buckets and keys.
    pub layout: Layout,
    /// With the embedded store: the folder with a folder for each bucket, read directly.
    pub local_root: Option<PathBuf>,
}

impl ObjectsConfig {
    /// Reads `s3://BUCKET-PREFIX?endpoint=URL&public_endpoint=URL&region=R`; only the prefix is required. Without an endpoint, it is Amazon's.
    pub fn parse(text: &str, access_key: String, secret_key: Secret) -> Result<Self> {
        let wrong = |what: String| Error::invalid("object_store", what);
        let url = Url::parse(text)
            .ok()
            .filter(|url| url.scheme() == "s3")
            .ok_or_else(|| wrong("expected s3://BUCKET-PREFIX?endpoint=http://HOST:PORT".into()))?;
        let (mut endpoint, mut public, mut region) = (None, None, "us-east-1".to_owned());
        for (key, value) in url.query_pairs() {
            let parsed = || {
                Url::parse(&value)
                    .ok()
                    .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
                    .ok_or_else(|| wrong(format!("expected {key}=http://HOST:PORT")))
            };
            match key.as_ref() {
                "endpoint" => endpoint = Some(parsed()?),
                "public_endpoint" => public = Some(parsed()?),
                "region" => region = value.into_owned(),
                other => {
                    return Err(wrong(format!(
                        "unknown setting {}: expected endpoint, public_endpoint or region",
                        granary_core::name::quote(other)
                    )));
                }
            }
        }
        let layout = Layout::new(url.host_str().unwrap_or_default())?;
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => Url::parse(&format!("https://s3.{region}.amazonaws.com"))
                .map_err(|_| wrong("expected region=NAME".into()))?,
        };
        Ok(Self {
            public_endpoint: public.unwrap_or_else(|| endpoint.clone()),
            endpoint,
            region,
            access_key,
            secret_key,
            layout,
            local_root: None,
        })
    }
}

/// Reads objects by `s3://{bucket}/{key}`.
#[derive(Clone)]
pub struct ObjectReader {
    config: Arc<ObjectsConfig>,
    keys: Arc<Credentials>,
    http: reqwest::Client,
}

impl std::fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectReader")
            .field("endpoint", &self.config.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

impl ObjectReader {
    /// A reader of this store.
    pub fn new(config: ObjectsConfig) -> Result<Self> {
        crate::install_tls();
        let keys = Credentials::new(&config.access_key, config.secret_key.reveal());
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| Error::internal("making an HTTP client", error))?;
        Ok(Self {
            config: Arc::new(config),
            keys: Arc::new(keys),
            http,
        })
    }

    /// Reads up to `max` bytes from the start of an object: all of it if it is no longer than that.
    pub async fn read_start(&self, uri: &str, max: u64) -> Result<Bytes> {
        let (bucket, key) = split_uri(uri)?;
        if let Some(path) = self.local_path(bucket, key)? {
            return blocking(uri, move || {
                use std::io::Read as _;
                let mut file = std::fs::File::open(path)?.take(max);
                let mut bytes =
                    Vec::with_capacity(usize::try_from(max.min(1 << 16)).unwrap_or(1 << 16));
                file.read_to_end(&mut bytes)?;
                Ok(bytes.into())
            })
            .await;
        }
        match self.get(uri, bucket, key, Some(0..max)).await? {
            Some(found) => found.bytes().await.map_err(|error| away(uri, error)),
            // An empty object has no range to give.
            None => Ok(Bytes::new()),
        }
    }

    /// Reads an object from start to end, in pieces of at most a few MiB.
    pub async fn stream(&self, uri: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let (bucket, key) = split_uri(uri)?;
        let owned = uri.to_owned();
        if let Some(path) = self.local_path(bucket, key)? {
            let file = tokio::fs::File::open(path)
                .await
                .map_err(|error| io_error(uri, &error))?;
            let pieces = tokio_util::io::ReaderStream::with_capacity(file, 256 * 1024);
            return Ok(pieces
                .map_err(move |error| io_error(&owned, &error))
                .boxed());
        }
        match self.get(uri, bucket, key, None).await? {
            Some(found) => Ok(found
                .bytes_stream()
                .map_err(move |error| away(&owned, error))
                .boxed()),
            None => Ok(futures::stream::empty().boxed()),
        }
    }

    fn local_path(&self, bucket: &str, key: &str) -> Result<Option<PathBuf>> {
        let Some(root) = &self.config.local_root else {
            return Ok(None);
        };
        let safe = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['/', '\0']);
        if !safe(bucket) || !key.split('/').all(safe) {
            return Err(Error::invalid(
                "uri",
                "expected a key without empty parts, `.` and `..`",
            ));
        }
        Ok(Some(root.join(bucket).join(key)))
    }

    // None where the range begins after the end. What passes by itself is tried again a few times.
    async fn get(
        &self,
        uri: &str,
        bucket: &str,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<reqwest::Response>> {
        let bucket = self.bucket(bucket)?;
        let mut tries = 0;
        loop {
            let url = bucket.get_object(Some(&self.keys), key).sign(SIGNED_FOR);
            let mut call = self.http.get(url);
            if let Some(range) = &range {
                let last = range.end.saturating_sub(1);
                call = call.header(http::header::RANGE, format!("bytes={}-{last}", range.start));
            }
            let failure = match call.send().await {
                Ok(found) if found.status() == StatusCode::RANGE_NOT_SATISFIABLE => {
                    return Ok(None);
                }
                Ok(found) if found.status().is_success() => return Ok(Some(found)),
                Ok(found) => refused(uri, found).await?,
                Err(error) => away(uri, error),
            };
            tries += 1;
            if tries == TRIES {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE * tries).await;
        }
    }

    fn bucket(&self, name: &str) -> Result<Bucket> {
        let buckets = self.config.layout.buckets();
        if !buckets.iter().any(|known| known == name) {
            return Err(Error::not_found(format!("bucket {name}")));
        }
        let (endpoint, region) = (self.config.endpoint.clone(), self.config.region.clone());
        Bucket::new(endpoint, UrlStyle::Path, name.to_owned(), region)
            .map_err(|error| Error::internal("reading an object", error))
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const SIGNED_FOR: Duration = Duration::from_secs(300);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
const AWAY: &str = "the object store does not answer: try again";

fn away(uri: &str, error: reqwest::Error) -> Error {
    // The URL is signed: it must not reach a log.
    Error::unavailable(AWAY, format!("reading {uri}: {}", error.without_url()))
}

/// The error of an answer that passes by itself; any other is the outcome.
async fn refused(uri: &str, mut answer: reqwest::Response) -> Result<Error> {
    let status = answer.status();
    if status == StatusCode::NOT_FOUND {
        return Err(Error::not_found(uri));
    }
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() >= answer::MAX_BYTES {
            break;
        }
    }
    let code = answer::error_code(&body).unwrap_or_default();
    let failure = answer::refused("read an object", status, &code);
    if answer::is_passing(status, &code) {
        Ok(failure)
    } else {
        Err(failure)
    }
}

async fn blocking(
    uri: &str,
    work: impl FnOnce() -> std::io::Result<Bytes> + Send + 'static,
) -> Result<Bytes> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("reading an object", error))?
        .map_err(|error| io_error(uri, &error))
}

fn io_error(uri: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(uri),
        kind => Error::unavailable(
            format!("the object store cannot read {uri}: {kind}"),
            kind.to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ObjectsConfig> {
        ObjectsConfig::parse(text, "key".into(), Secret::new("secret"))
    }

    #[test]
    fn store_urls_are_read_with_defaults() {
        let config = parse("s3://lab?endpoint=http://127.0.0.1:9000").unwrap();
        assert_eq!(config.endpoint.as_str(), "http://127.0.0.1:9000/");
        assert_eq!(config.public_endpoint, config.endpoint);
        assert_eq!(config.layout.buckets()[0], "lab-raw");
        assert_eq!(
            parse("s3://lab?region=eu-central-1")
                .unwrap()
                .endpoint
                .as_str(),
            "https://s3.eu-central-1.amazonaws.com/"
        );
    }

    #[test]
    fn wrong_store_urls_say_what_was_expected() {
        for text in [
            "lab",
            "s3://",
            "s3://A_B",
            "s3://lab?endpoint=here",
            "s3://lab?color=red",
            "file:///tmp",
        ] {
            assert!(matches!(parse(text), Err(Error::Invalid(_))), "{text}");
        }
    }

    /// Answers each connection with one of `answers` in turn, and then no more.
    async fn store(
        answers: &'static [&'static str],
    ) -> (ObjectReader, tokio::task::JoinHandle<()>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        #[allow(clippy::disallowed_methods, reason = "it ends with the test")]
        let served = tokio::spawn(async move {
            for answer in answers {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(near.read_u8().await.unwrap());
                }
                near.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let config = parse(&format!("s3://lab?endpoint={endpoint}")).unwrap();
        (ObjectReader::new(config).unwrap(), served)
    }

    #[tokio::test]
    async fn what_the_store_refuses_is_not_asked_for_again() {
        let (reader, served) = store(&[
            "HTTP/1.1 503 X\r\nconnection: close\r\n\r\n<Error><Code>SlowDown</Code></Error>",
            "HTTP/1.1 403 X\r\nconnection: close\r\n\r\n<Error><Code>AccessDenied</Code></Error>",
        ])
        .await;
        let error = reader.read_start("s3://lab-raw/p/a", 4).await.unwrap_err();
        served.await.unwrap();
        let Error::Internal {
            cause: Some(cause), ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(cause.to_string(), "403 AccessDenied");
    }

    #[tokio::test]
    async fn local_objects_are_read_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("lab-raw/p")).unwrap();
        std::fs::write(folder.path().join("lab-raw/p/a b"), "0123456789").unwrap();
        let reader = ObjectReader::new(ObjectsConfig {
            local_root: Some(folder.path().into()),
            ..parse("s3://lab").unwrap()
        })
        .unwrap();
        assert_eq!(
            reader.read_start("s3://lab-raw/p/a b", 4).await.unwrap(),
            "0123"
        );
        assert_eq!(
            reader.read_start("s3://lab-raw/p/a b", 400).await.unwrap(),
            "0123456789"
        );
        let pieces: Vec<Bytes> = reader
            .stream("s3://lab-raw/p/a b")
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(pieces.concat(), b"0123456789");
        assert!(matches!(
            reader.read_start("s3://lab-raw/p/none", 4).await,
            Err(Error::NotFound { .. })
        ));
        assert!(matches!(
            reader.read_start("s3://lab-raw/../../etc/passwd", 4).await,
            Err(Error::Invalid(_))
        ));
    }
}
