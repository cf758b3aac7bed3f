//! Through the buckets: projects, their datasets, their sessions.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use granary_core::{
    Error,
    layout::{DatasetKind, Layout, dataset_manifest_key, project_manifest_key},
    name::{DatasetName, ProjectName, SessionName},
};
use granary_metadata::restore::{Found, Restorer};
use granary_storage::inventory::{Entry, Inventory};
use parking_lot::Mutex;

use super::{
    Trouble, find,
    met::Met,
    report::{Counts, Finding, Report, one},
};

/// How many sessions are read at once.
const SESSIONS: usize = 4;

/// A walk through the buckets.
pub(super) struct Walk<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) restorer: &'a Restorer,
    pub(super) report: &'a Report,
    pub(super) layout: Layout,
    pub(super) met: Met,
    /// The projects and datasets that were met, which may be in several buckets; whether they can be used, and the kinds of the datasets.
    projects: Mutex<HashMap<ProjectName, bool>>,
    datasets: Mutex<HashMap<DatasetName, Option<DatasetKind>>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        inventory: &'a Inventory,
        restorer: &'a Restorer,
        report: &'a Report,
        layout: Layout,
    ) -> Self {
        Self {
            inventory,
            restorer,
            report,
            layout,
            met: Met::default(),
            projects: Mutex::default(),
            datasets: Mutex::default(),
        }
    }

    /// Goes through all buckets, or what one project has in them, and then through what the database knows.
    pub(super) async fn all(&self, only: Option<&ProjectName>) -> Result<(), Trouble> {
        for bucket in self.layout.buckets() {
            match only {
                Some(project) => self.project(&bucket, project).await?,
                None => self.bucket(&bucket).await?,
            }
        }
        self.lost(only).await
    }

    /// Whether something of a project was met in the buckets, or the database knows it.
    pub(super) async fn knows(&self, project: &ProjectName) -> Result<bool, Error> {
        let is_met = self.projects.lock().contains_key(project);
        Ok(is_met || self.restorer.knows(project).await?)
    }

    async fn bucket(&self, bucket: &str) -> Result<(), Trouble> {
        let mut entries = std::pin::pin!(self.inventory.entries(bucket, ""));
        while let Some(entry) = entries.try_next().await.map_err(Trouble::Broken)? {
            match &entry {
                Entry::Folder(prefix) => match find::project(prefix) {
                    Some(project) => self.project(bucket, &project).await?,
                    None => self.stray(bucket, prefix),
                },
                Entry::Object(object) => self.stray(bucket, &object.key),
            }
        }
        Ok(())
    }

    async fn project(&self, bucket: &str, project: &ProjectName) -> Result<(), Trouble> {
        let prefix = format!("{}/", project.project);
        let mut entries = std::pin::pin!(self.inventory.entries(bucket, &prefix));
        while let Some(entry) = entries.try_next().await.map_err(Trouble::Broken)? {
            if !self.has_project(project).await? {
                return Ok(());
            }
            match &entry {
                Entry::Folder(prefix) if find::is_reserved(prefix) => {
                    let own = bucket == self.layout.bucket(DatasetKind::Raw);
                    let own = own.then(|| project_manifest_key(project));
                    self.reserved(bucket, prefix, own.as_deref()).await?;
                }
                Entry::Folder(prefix) => match find::dataset(project, prefix) {
                    Some(dataset) => self.dataset(bucket, &dataset, prefix).await?,
                    None => self.stray(bucket, prefix),
                },
                Entry::Object(object) => self.stray(bucket, &object.key),
            }
        }
        Ok(())
    }

    /// Whether there is a project now, or at least could be.
    async fn has_project(&self, name: &ProjectName) -> Result<bool, Trouble> {
        let known = self.projects.lock().get(name).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = self.make_project(name).await;
        let made = self.settled(&name.to_string(), made)?;
        let usable = made.is_some();
        if let Some((guessed, found)) = made {
            let guessed =
                guessed.then(|| "it has no manifest that says it: it gets no name".to_owned());
            self.found(&self.report.projects, &name.to_string(), &found, guessed);
        }
        self.projects.lock().insert(name.clone(), usable);
        Ok(usable)
    }

    /// A project as its manifest says, or, if that is not there or cannot be read, as it is guessed: what is below is not lost for it.
    async fn make_project(&self, name: &ProjectName) -> Result<(bool, Found), Trouble> {
        let place = name.to_string();
        let manifest = self.inventory.project(name).await;
        let manifest = self.settled(&place, manifest.map_err(Trouble::of_store))?;
        if let Some(manifest) = manifest.flatten() {
            let found = self.restorer.project(name, Some(manifest)).await;
            let found = self.settled(&place, found.map_err(Trouble::of_index))?;
            if let Some(found) = found {
                return Ok((false, found));
            }
        }
        let found = self.restorer.project(name, None).await;
        Ok((true, found.map_err(Trouble::of_index)?))
    }

    async fn dataset(&self, bucket: &str, name: &DatasetName, prefix: &str) -> Result<(), Trouble> {
        let Some(kind) = self.kind(bucket, name).await? else {
            return Ok(());
        };
        if self.layout.bucket(kind) != bucket {
            self.stray(bucket, prefix);
            return Ok(());
        }
        // Found one after the other, read several at once.
        let entries = self.inventory.entries(bucket, prefix);
        entries
            .map_err(Trouble::Broken)
            .map_ok(|entry| async move {
                match &entry {
                    Entry::Folder(prefix) if find::is_reserved(prefix) => {
                        let own = dataset_manifest_key(name);
                        self.reserved(bucket, prefix, Some(&own)).await
                    }
                    Entry::Folder(prefix) => match find::session(name, prefix) {
                        Some(session) => self.one_session(bucket, kind, &session).await,
                        None => {
                            self.stray(bucket, prefix);
                            Ok(())
                        }
                    },
                    Entry::Object(object) => {
                        self.stray(bucket, &object.key);
                        Ok(())
                    }
                }
            })
            .try_buffer_unordered(SESSIONS)
            .try_collect::<()>()
            .await
    }

    /// The kind of a dataset that is there now, or at least could be.
    async fn kind(&self, bucket: &str, name: &DatasetName) -> Result<Option<DatasetKind>, Trouble> {
        let known = self.datasets.lock().get(name).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = self.make_dataset(bucket, name).await;
        let kind = self.settled(&name.to_string(), made)?;
        self.datasets.lock().insert(name.clone(), kind);
        Ok(kind)
    }

    async fn make_dataset(&self, bucket: &str, name: &DatasetName) -> Result<DatasetKind, Trouble> {
        let place = name.to_string();
        let guess = self.guess(bucket, name);
        let manifest = self.inventory.dataset(bucket, name).await;
        let manifest = self.settled(&place, manifest.map_err(Trouble::of_store))?;
        let mut made = None;
        if let Some(manifest) = manifest.flatten() {
            let found = self.restorer.dataset(name, Some(manifest), guess).await;
            made = self.settled(&place, found.map_err(Trouble::of_index))?;
        }
        let is_guessed = made.is_none();
        let (kind, found) = match made {
            Some(made) => made,
            None => {
                let found = self.restorer.dataset(name, None, guess).await;
                found.map_err(Trouble::of_index)?
            }
        };
        let guessed = is_guessed.then(|| {
            let kind = kind.as_str();
            format!("it has no manifest that says so: it gets no name, and the kind {kind}")
        });
        self.found(&self.report.datasets, &name.to_string(), &found, guessed);
        Ok(kind)
    }

    /// What a dataset in a bucket most likely holds.
    fn guess(&self, bucket: &str, name: &DatasetName) -> DatasetKind {
        let of_jobs = match name.dataset.as_str() {
            "job-artifacts" => DatasetKind::Artifact,
            "job-logs" => DatasetKind::Log,
            _ => DatasetKind::Output,
        };
        let kinds = [DatasetKind::Raw, DatasetKind::Processed];
        let kind = kinds
            .into_iter()
            .find(|kind| self.layout.bucket(*kind) == bucket);
        kind.unwrap_or(of_jobs)
    }

    async fn one_session(
        &self,
        bucket: &str,
        kind: DatasetKind,
        session: &SessionName,
    ) -> Result<(), Trouble> {
        self.met.add(session);
        let done = self.session(bucket, kind, session).await;
        self.settled(&session.to_string(), done)?;
        self.report.step();
        Ok(())
    }

    /// What lies in a folder of Granary's own, where nothing is but perhaps one manifest.
    async fn reserved(&self, bucket: &str, prefix: &str, own: Option<&str>) -> Result<(), Trouble> {
        let mut objects = std::pin::pin!(self.inventory.objects(bucket, prefix));
        while let Some(object) = objects.try_next().await.map_err(Trouble::Broken)? {
            if own != Some(object.key.as_str()) {
                self.stray(bucket, &object.key);
            }
        }
        Ok(())
    }

    /// What came of something; nothing if it could not be read, which is said.
    pub(super) fn settled<T>(
        &self,
        place: &str,
        done: Result<T, Trouble>,
    ) -> Result<Option<T>, Trouble> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(Trouble::Unreadable(error)) => {
                self.report.unreadable(place, &error);
                Ok(None)
            }
            Err(broken) => Err(broken),
        }
    }

    fn found(&self, counts: &Counts, place: &str, found: &Found, guessed: Option<String>) {
        match found {
            Found::Made => {
                one(&counts.made);
                if let Some(guessed) = guessed {
                    self.report.find(Finding::Guessed, place, &guessed);
                }
            }
            Found::Known(differences) => {
                one(&counts.known);
                if !differences.is_empty() {
                    let what = differences.join(", ");
                    self.report.find(Finding::Differs, place, &what);
                }
            }
        }
    }

    pub(super) fn stray(&self, bucket: &str, key: &str) {
        let place = format!("s3://{bucket}/{key}");
        self.report.find(Finding::Stray, &place, "");
    }
}
