//! What a pod is told: which attempt it makes, as which worker, and where the services are.

use std::{path::Path, time::Duration};

use granary_core::{
    Error, Result,
    name::{JobName, WorkerName},
};
use granary_proto::{job::v1::Lease, json};
use granary_runtime::{Link, auth::TokenSource, link::Way, replicas::Replicas, task::Tasks};
use granary_transfer::{DownloadOptions, Downloader};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use url::Url;

use super::place;
use crate::{api::Api, attempt::Tools, outputs::Sender};

/// How long a start waits until names are looked up.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Where pods find the services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Metadata: `http://NAME:PORT`.
    pub metadata: Url,
    /// Storage.
    pub storage: Url,
    /// Job.
    pub job: Url,
}

/// What a pod is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The worker that holds the lease.
    pub worker: String,
    /// Where the services are.
    pub endpoints: Endpoints,
    /// The most that the attempt may leave in the folders that are collected, in bytes.
    pub max_output_bytes: u64,
    /// The lease, as the proto's JSON.
    pub lease: Json,
}

/// An order that is understood, with the ways to the services.
pub(super) struct Ready {
    pub api: Api,
    pub tools: Tools,
    pub lease: Lease,
    pub name: JobName,
}

impl Order {
    /// The order for a lease.
    pub fn new(
        worker: &WorkerName,
        endpoints: Endpoints,
        max_output_bytes: u64,
        lease: &Lease,
    ) -> Result<Self> {
        Ok(Self {
            worker: worker.worker.clone(),
            endpoints,
            max_output_bytes,
            lease: json::to_json(lease)?,
        })
    }
}

/// Reads the order of this pod.
pub(super) async fn read(tasks: &Tasks) -> Result<Ready> {
    let folder = Path::new(place::ORDER);
    let text = content(&folder.join(place::ORDER_FILE)).await?;
    let order: Order = serde_json::from_str(&text)
        .map_err(|error| Error::internal("reading the order of this pod", error))?;
    let token = content(&folder.join(place::TOKEN_FILE)).await?;
    order.ready(&TokenSource::fixed(token.trim())?, tasks)
}

async fn content(path: &Path) -> Result<String> {
    tokio::fs::read_to_string(path).await.map_err(|error| {
        Error::precondition(
            path.display(),
            format!("cannot read the order of this pod: {error}"),
        )
    })
}

impl Order {
    fn ready(self, token: &TokenSource, tasks: &Tasks) -> Result<Ready> {
        let link = |url: &Url| {
            let replicas = Replicas::find(std::slice::from_ref(url), tasks)?;
            Ok::<_, Error>(Link::over(Way::Replicas(replicas), token.clone()))
        };
        let lease: Lease = json::from_json(self.lease)?;
        let name = JobName::parse(&lease.job.clone().unwrap_or_default().name)?;
        let (metadata, storage) = (
            link(&self.endpoints.metadata)?,
            link(&self.endpoints.storage)?,
        );
        Ok(Ready {
            api: Api::new(link(&self.endpoints.job)?, WorkerName::new(&self.worker)?),
            tools: Tools {
                downloader: Downloader::new(storage.clone(), DownloadOptions::default()),
                sender: Sender::new(metadata.clone(), storage),
                metadata,
                max_output_bytes: self.max_output_bytes,
            },
            lease,
            name,
        })
    }
}
