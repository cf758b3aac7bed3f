//! Calls to the cluster.

use std::{fmt::Debug, time::Duration};

use granary_core::{Error, Result, name::WorkerName};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod, Secret},
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use crate::{Settings, names};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(30);
const PAGE: u32 = 500;

/// The part of the cluster that jobs run in.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub jobs: Api<Job>,
    pub pods: Api<Pod>,
    pub events: Api<Event>,
    secrets: Api<Secret>,
    selector: String,
}

impl Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.selector)
    }
}

/// What the cluster answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It will not have this: what it said.
    Refused(String),
    /// Its quota is full.
    Quota(String),
    /// It cannot be called, or is not well.
    Away(String),
}

impl Failure {
    fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                403 if status.message.contains("exceeded quota") => Self::Quota(status.message),
                // What is missing, a right or the namespace, is not the fault of the job.
                400 | 413 | 422 => Self::Refused(status.message),
                _ => Self::Away(status.message),
            },
            other => Self::Away(other.to_string()),
        }
    }
}

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

impl Cluster {
    pub(crate) async fn connect(settings: &Settings, worker: &WorkerName) -> Result<Self> {
        let failed = |what: String| Error::precondition("the Kubernetes cluster", what);
        let config = match &settings.kubeconfig {
            Some(file) => {
                let file =
                    Kubeconfig::read_from(file).map_err(|error| failed(error.to_string()))?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| failed(error.to_string()))?
            }
            None => Config::incluster().map_err(|error| failed(error.to_string()))?,
        };
        let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        let namespace = settings.namespace.as_str();
        Ok(Self {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            events: Api::namespaced(client.clone(), namespace),
            secrets: Api::namespaced(client, namespace),
            selector: format!("{}={},!{}", names::WORKER, worker.worker, names::TOLD),
        })
    }

    /// What tells the attempts of this worker whose end the service does not know.
    pub(crate) fn selector(&self) -> &str {
        &self.selector
    }

    /// The Jobs of all attempts whose end the service does not know.
    pub(crate) async fn untold(&self) -> Result<Vec<Job>, Failure> {
        let mut found = Vec::new();
        let mut page = ListParams::default().labels(&self.selector).limit(PAGE);
        loop {
            let list = within(self.jobs.list(&page)).await?;
            found.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// Makes a Job, or finds it; its uid.
    pub(crate) async fn create_job(&self, job: &Job) -> Result<String, Failure> {
        let name = job.metadata.name.clone().unwrap_or_default();
        let post = PostParams::default();
        let made = match timed(self.jobs.create(&post, job)).await? {
            Err(error) if is(&error, 409) => within(self.jobs.get(&name)).await?,
            made => made.map_err(Failure::of)?,
        };
        Ok(made.metadata.uid.unwrap_or_default())
    }

    /// Makes a Secret, unless it is there.
    pub(crate) async fn create_secret(&self, secret: &Secret) -> Result<(), Failure> {
        match timed(self.secrets.create(&PostParams::default(), secret)).await? {
            Err(error) if is(&error, 409) => Ok(()),
            made => made.map(drop).map_err(Failure::of),
        }
    }

    /// Lets a Job begin.
    pub(crate) async fn begin(&self, name: &str) -> Result<(), Failure> {
        self.patch(name, json!({"spec": {"suspend": false}})).await
    }

    /// Notes that the service knows how an attempt ended.
    pub(crate) async fn told(&self, name: &str) -> Result<(), Failure> {
        self.patch(name, json!({"metadata": {"labels": {names::TOLD: "true"}}}))
            .await
    }

    async fn patch(&self, name: &str, change: serde_json::Value) -> Result<(), Failure> {
        let (params, patch) = (PatchParams::default(), Patch::Merge(change));
        within(self.jobs.patch(name, &params, &patch))
            .await
            .map(drop)
    }

    /// Deletes a Job with its pod and its Secret; one that is not there is as good.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Failure> {
        match timed(self.jobs.delete(name, &DeleteParams::background())).await? {
            Err(error) if is(&error, 404) => Ok(()),
            deleted => deleted.map(drop).map_err(Failure::of),
        }
    }
}

async fn timed<T>(call: impl Future<Output = kube::Result<T>>) -> Result<kube::Result<T>, Failure> {
    let answer = tokio::time::timeout(PATIENCE, call).await;
    answer.map_err(|_| Failure::Away("the cluster does not answer".into()))
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    timed(call).await?.map_err(Failure::of)
}
