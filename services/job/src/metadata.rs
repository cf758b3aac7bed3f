//! What this service asks of Metadata: whether inputs are there and complete, and to freeze datasets.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use granary_core::{
    Error, Result,
    day::Day,
    id,
    name::{AssetName, DatasetName, ProjectName, SessionName, SnapshotName},
};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    identity::v1::{
        BatchRecordUsageRequest, GetQuotaRequest, Quota, UsageRecord,
        usage_service_client::UsageServiceClient,
    },
    metadata::v1::{
        Asset, AssetState, CreateSnapshotRequest, GetAssetRequest, GetSessionRequest,
        GetSnapshotRequest, SessionState, Snapshot, asset_service_client::AssetServiceClient,
        session_service_client::SessionServiceClient,
        snapshot_service_client::SnapshotServiceClient,
    },
};
use granary_runtime::{Link, rpc::answer};
use parking_lot::Mutex;

use crate::store::usage::{Limits, Record};

/// How long it is remembered that a project exists, and how much it may run.
const REMEMBERED: Duration = Duration::from_secs(5);
/// How often, and how many times, it is looked whether the pipelines have ended with what a job made.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOKS: usize = 50;

/// How much a project may run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct May {
    pub limits: Limits,
    /// Whether it was asked for just now, and is not remembered.
    pub fresh: bool,
}

/// The Metadata service.
#[derive(Debug)]
pub(crate) struct Metadata {
    link: Link,
    projects: Mutex<HashMap<ProjectName, (Instant, Limits)>>,
}

impl Metadata {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            projects: Mutex::default(),
        }
    }

    /// How much a project may run, as it was some seconds ago. Fails unless it exists.
    pub(crate) async fn project(&self, project: &ProjectName) -> Result<May> {
        let seen = self.projects.lock().get(project).copied();
        if let Some((at, limits)) = seen
            && at.elapsed() < REMEMBERED
        {
            return Ok(May {
                limits,
                fresh: false,
            });
        }
        let name = format!("{project}/quota");
        let mut client = UsageServiceClient::new(self.link.clone());
        let asked = answer(client.get_quota(GetQuotaRequest { name }).await);
        let quota = asked.map_err(|error| match error {
            Error::NotFound { .. } => Error::not_found(project),
            other => other,
        })?;
        let limits = limits(&quota);
        self.remember([(project.clone(), limits)]);
        Ok(May {
            limits,
            fresh: true,
        })
    }

    /// How much projects may run now; those that do not exist are missing.
    pub(crate) async fn limits(
        &self,
        projects: impl Iterator<Item = &str>,
        today: Day,
    ) -> Result<BTreeMap<String, Limits>> {
        // A record that counts nothing only asks.
        let asking = |project: &str| UsageRecord {
            id: id::new(""),
            project: format!("projects/{project}"),
            date: today.to_string(),
            ..UsageRecord::default()
        };
        let quotas = self.tell(projects.map(asking).collect()).await?;
        let mut found = Vec::with_capacity(quotas.len());
        for quota in &quotas {
            let name = quota.name.trim_end_matches("/quota");
            found.push((ProjectName::parse(name)?, limits(quota)));
        }
        self.remember(found.iter().cloned());
        let found = found.into_iter();
        Ok(found.map(|(name, limits)| (name.project, limits)).collect())
    }

    fn remember(&self, learned: impl IntoIterator<Item = (ProjectName, Limits)>) {
        let now = Instant::now();
        let mut projects = self.projects.lock();
        projects.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        let learned = learned.into_iter();
        projects.extend(learned.map(|(project, limits)| (project, (now, limits))));
    }

    /// Tells what attempts took.
    pub(crate) async fn record(&self, records: &[Record]) -> Result<()> {
        let record = |record: &Record| UsageRecord {
            id: record.id.clone(),
            project: format!("projects/{}", record.project),
            date: Day::from_number(record.day).to_string(),
            requests: 0,
            job_seconds: record.seconds,
        };
        self.tell(records.iter().map(record).collect())
            .await
            .map(drop)
    }

    async fn tell(&self, records: Vec<UsageRecord>) -> Result<Vec<Quota>> {
        let mut client = UsageServiceClient::new(self.link.clone())
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let request = BatchRecordUsageRequest { records };
        Ok(answer(client.batch_record_usage(request).await)?.quotas)
    }

    /// Fails unless the snapshot exists.
    pub(crate) async fn snapshot(&self, name: &SnapshotName) -> Result<()> {
        let mut client = SnapshotServiceClient::new(self.link.clone());
        answer(
            client
                .get_snapshot(GetSnapshotRequest {
                    name: name.to_string(),
                })
                .await,
        )
        .map(drop)
    }

    /// Fails unless the session exists and its pipelines have ended: until then it may come out that some of its assets are not to be used.
    pub(crate) async fn session(&self, name: &SessionName) -> Result<()> {
        match self.state(name).await? {
            SessionState::Processed | SessionState::Failed => Ok(()),
            SessionState::Completed => Err(Error::precondition(name, wait_for(name))),
            _ => Err(Error::precondition(
                name,
                "it is open: complete it, and wait until its pipelines have ended",
            )),
        }
    }

    /// The same for what a job made a moment ago, for which nobody waits otherwise: gives its pipelines some time.
    pub(crate) async fn made(&self, name: &SessionName) -> Result<()> {
        for _ in 0..LOOKS {
            if self.state(name).await? != SessionState::Completed {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.session(name).await
    }

    async fn state(&self, name: &SessionName) -> Result<SessionState> {
        let mut client = SessionServiceClient::new(self.link.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let session = answer(
            client
                .get_session(GetSessionRequest {
                    name: name.to_string(),
                })
                .await,
        )?;
        Ok(session.state())
    }

    /// Fails unless the asset exists and is ready.
    pub(crate) async fn asset(&self, name: &AssetName) -> Result<()> {
        let mut client =
            AssetServiceClient::new(self.link.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let asset: Asset = answer(
            client
                .get_asset(GetAssetRequest {
                    name: name.to_string(),
                })
                .await,
        )?;
        match asset.state() {
            AssetState::Ready => Ok(()),
            AssetState::Rejected => Err(Error::precondition(
                name,
                "it was rejected: see its errors, and use another one",
            )),
            AssetState::Uploaded | AssetState::Validating => {
                let session = SessionName::parse(&asset.session)?;
                Err(Error::precondition(name, wait_for(&session)))
            }
            _ => Err(Error::precondition(
                name,
                "its bytes have not arrived yet: wait until it is uploaded, and until its pipelines have ended",
            )),
        }
    }

    /// Freezes a dataset; the same request again gives the same snapshot.
    pub(crate) async fn freeze(&self, dataset: &DatasetName, request_id: String) -> Result<String> {
        let mut client = SnapshotServiceClient::new(self.link.clone());
        let request = CreateSnapshotRequest {
            parent: dataset.to_string(),
            snapshot: Some(Snapshot::default()),
            snapshot_id: String::new(),
            request_id,
        };
        Ok(answer(client.create_snapshot(request).await)?.name)
    }
}

fn limits(quota: &Quota) -> Limits {
    Limits {
        concurrent: quota.max_concurrent_jobs,
        seconds: quota.max_daily_job_seconds,
    }
}

fn wait_for(session: &SessionName) -> String {
    format!(
        "its pipelines have not ended: wait until they have, with `granary session wait {}/{}`",
        session.dataset, session.session
    )
}
