//! Follows the event stream, from where it was left.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt as _, stream};
use granary_core::{
    Error, Result,
    name::{DatasetName, ProjectName, SessionName},
};
use granary_proto::metadata::v1::{Event, WatchEventsResponse};
use granary_runtime::rpc;
use tonic::Streaming;

use crate::Core;

const CONSUMER: &str = "manifests";
const TYPES: [&str; 6] = [
    "project.created",
    "dataset.created",
    "dataset.updated",
    "session.completed",
    "session.processed",
    "session.failed",
];
/// The oldest event that is kept: a new database begins there.
const OLDEST: &str = "0";
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a manifest is tried that fails for a reason that does not look passing.
const ATTEMPTS: u32 = 5;

/// Never ends.
pub(super) async fn run(core: &Core) {
    let mut pause = Duration::from_millis(100);
    loop {
        let Err(error) = follow(core, &mut pause).await else {
            // A replica that ends lets go of its streams: the next one is there.
            tokio::time::sleep(pause).await;
            continue;
        };
        tracing::debug!(%error, "the event stream ended");
        if matches!(error, Error::Invalid(_)) {
            // The token belongs to another stream: the metadata database was made anew. What is written twice does no harm.
            tracing::warn!(%error, "manifests start over from the oldest event");
            if let Err(error) = core.store.set_cursor(CONSUMER, OLDEST).await {
                tracing::warn!(%error, "the position in the event stream could not be stored");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn follow(core: &Core, pause: &mut Duration) -> Result<()> {
    let token = core
        .store
        .cursor(CONSUMER)
        .await?
        .unwrap_or_else(|| OLDEST.to_owned());
    let mut events: Streaming<WatchEventsResponse> = core.metadata.watch(token, &TYPES).await?;
    while let Some(batch) = events.message().await.map_err(rpc::from_status)? {
        *pause = Duration::from_millis(100);
        write_all(core, &batch.events).await?;
        if !batch.events.is_empty() {
            core.store.set_cursor(CONSUMER, &batch.resume_token).await?;
        }
    }
    Ok(())
}

/// What has a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Project(ProjectName),
    Dataset(DatasetName),
    Session(SessionName),
}

impl Subject {
    fn of(event: &Event) -> Option<Self> {
        let name = event.resource.as_str();
        let session = SessionName::parse(name).map(Self::Session);
        let found = session
            .or_else(|_| DatasetName::parse(name).map(Self::Dataset))
            .or_else(|_| ProjectName::parse(name).map(Self::Project));
        found.ok()
    }
}

/// Writes the manifest of each subject of a batch once.
async fn write_all(core: &Core, events: &[Event]) -> Result<()> {
    let subjects: BTreeSet<Subject> = events.iter().filter_map(Subject::of).collect();
    let writes: Vec<_> = subjects
        .iter()
        .map(|subject| write_one(core, subject))
        .collect();
    let results: Vec<Result<()>> = stream::iter(writes).buffer_unordered(4).collect().await;
    results.into_iter().collect()
}

async fn write_one(core: &Core, subject: &Subject) -> Result<()> {
    for attempt in 1.. {
        let written = match subject {
            Subject::Project(name) => core.write_project(name).await,
            Subject::Dataset(name) => core.write_dataset(name).await,
            Subject::Session(name) => core.write_manifest(name).await,
        };
        match written {
            Ok(()) => break,
            // Deleted in between.
            Err(Error::NotFound { .. }) => break,
            Err(error) if error.is_transient() => return Err(error),
            // One of them must not hold up all others for ever.
            Err(error) if attempt == ATTEMPTS => {
                tracing::error!(%error, ?subject, "no manifest could be written: it is left out");
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200 << attempt)).await,
        }
    }
    Ok(())
}
