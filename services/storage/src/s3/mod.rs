//! The small S3 client of this service: the few requests that it makes, and the URLs that it signs for others.
//!
//! Path style, so that it works with any S3 server. A request is tried a few times, at most 32 at once are on their way, and none waits for
//! ever. What a server may answer in more than one way (a lost answer, an upload that is gone) is a value, not an error.

mod list;
mod multipart;
mod object;
mod reach;
mod send;
mod sign;
mod xml;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use granary_core::{Error, Result, layout::split_uri};
use granary_runtime::objects::ObjectsConfig;
use rusty_s3::{Bucket, Credentials, UrlStyle};
use tokio::sync::Semaphore;
use url::Url;

pub(crate) use list::{Listed, Page};
pub(crate) use multipart::{Assembled, Part};
pub(crate) use object::{Copied, Head};
pub(crate) use reach::Reach;
pub(crate) use sign::Signed;

/// The most own requests at once.
const CONCURRENCY: usize = 32;
/// How long a signature of an own request holds: longer than all attempts together.
const OWN_EXPIRY: Duration = Duration::from_secs(900);

/// The checksum that goes along with what is written: stores look whether all has arrived, and a bucket that locks its objects demands one.
fn checksum(body: &[u8]) -> (&'static str, String) {
    let sum = STANDARD.encode(crc32c::crc32c(body).to_be_bytes());
    ("x-amz-checksum-crc32c", sum)
}

/// Where an object lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl Place {
    /// Reads `s3://{bucket}/{key}`.
    pub(crate) fn of_uri(uri: &str) -> Result<Self> {
        let (bucket, key) = split_uri(uri)?;
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }
}

/// Makes requests at the store, and signs those of others. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    endpoint: Url,
    public_endpoint: Url,
    region: String,
    credentials: Credentials,
    slots: Semaphore,
    reach: Reach,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.0.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of this store. Makes no request.
    pub(crate) fn new(config: &ObjectsConfig) -> Result<Self> {
        let http = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .pool_max_idle_per_host(CONCURRENCY)
            .build()
            .map_err(|error| Error::internal("making an HTTP client", error))?;
        Ok(Self(Arc::new(Inner {
            http,
            endpoint: config.endpoint.clone(),
            public_endpoint: config.public_endpoint.clone(),
            region: config.region.clone(),
            credentials: Credentials::new(&config.access_key, config.secret_key.reveal()),
            slots: Semaphore::new(CONCURRENCY),
            reach: Reach::default(),
        })))
    }

    /// Whether the store can be reached.
    pub(crate) fn reach(&self) -> &Reach {
        &self.0.reach
    }

    fn bucket(&self, name: &str) -> Result<Bucket> {
        bucket_at(&self.0.endpoint, name, &self.0.region)
    }

    fn public_bucket(&self, name: &str) -> Result<Bucket> {
        bucket_at(&self.0.public_endpoint, name, &self.0.region)
    }

    fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }
}

fn bucket_at(endpoint: &Url, name: &str, region: &str) -> Result<Bucket> {
    Bucket::new(
        endpoint.clone(),
        UrlStyle::Path,
        name.to_owned(),
        region.to_owned(),
    )
    .map_err(|error| Error::internal("naming a bucket", error))
}
