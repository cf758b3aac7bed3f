//! Outputs: what a program left in its folders, sent back as sessions with the job as producer and its inputs as origin.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use granary_core::{
    Error, Result,
    name::{DatasetName, JobName, ProjectName, SessionName, quote},
    path,
};
use granary_proto::{
    job::v1::{Entrypoint, Job},
    metadata::v1::{
        CompleteSessionRequest, CreateDatasetRequest, CreateSessionRequest, Dataset, DatasetKind,
        GetDatasetRequest, Session, dataset_service_client::DatasetServiceClient,
        session_service_client::SessionServiceClient,
    },
};
use granary_runtime::{Link, rpc::answer};
use granary_transfer::{Item, NoProgress, Source, UploadOptions, Uploader};

/// The most names that a session's origin holds.
const MAX_ORIGINS: usize = 1000;

// As `--kind` takes it.
fn kind_name(kind: DatasetKind) -> String {
    let name = kind.as_str_name();
    name.trim_start_matches("DATASET_KIND_").to_lowercase()
}

/// A kind of what jobs make, with the dataset that it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Output,
    Artifact,
    Log,
}

impl Kind {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Artifact => "artifact",
            Self::Log => "log",
        }
    }

    fn dataset(self) -> (&'static str, DatasetKind) {
        match self {
            Self::Output => ("job-outputs", DatasetKind::Output),
            Self::Artifact => ("job-artifacts", DatasetKind::Artifact),
            Self::Log => ("job-logs", DatasetKind::Log),
        }
    }
}

/// Files to send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Path within the session, and where the bytes are.
    pub files: BTreeMap<String, PathBuf>,
    /// How long they are together, holes included.
    pub bytes: u64,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Looks for files in a folder of the job's own `root`. Links are not followed, the folder itself and those above it included, since what
/// they lead to is not the job's.
pub(crate) fn find(root: &Path, folder: &Path) -> Found {
    let mut found = Found::default();
    if let Some(link) = link_on_the_way(root, folder) {
        found.notes.push(format!(
            "not collected: {}: it is a link, not a folder",
            quote(&link)
        ));
        return found;
    }
    for entry in walkdir::WalkDir::new(folder)
        .min_depth(1)
        .follow_links(false)
        .follow_root_links(false)
        .sort_by_file_name()
    {
        let entry = match entry {
            Ok(entry) => entry,
            // A folder that was not made is an empty one.
            Err(error) if error.depth() == 0 => break,
            Err(error) => {
                found.notes.push(format!("not collected: {error}"));
                continue;
            }
        };
        let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let Some(name) = relative.to_str() else {
            found.notes.push(format!(
                "not collected: {}: its name is not UTF-8",
                relative.display()
            ));
            continue;
        };
        if entry.file_type().is_dir() {
            continue;
        }
        if !entry.file_type().is_file() {
            found.notes.push(format!(
                "not collected: {}: it is a link or a special file",
                quote(name)
            ));
        } else if let Err(error) = path::check(name) {
            found.notes.push(format!("not collected: {error}"));
        } else {
            match entry.metadata() {
                Ok(metadata) => {
                    found.bytes = found.bytes.saturating_add(metadata.len());
                    found.files.insert(name.to_owned(), entry.into_path());
                }
                Err(error) => found.notes.push(format!("not collected: {error}")),
            }
        }
    }
    found
}

// The first part of the way from `root` to `folder` that is a symbolic link.
fn link_on_the_way(root: &Path, folder: &Path) -> Option<String> {
    let way = folder.strip_prefix(root).ok()?;
    let mut at = root.to_owned();
    for part in way.components() {
        at.push(part);
        if at.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            let link = at.strip_prefix(root).unwrap_or(&at);
            return Some(link.to_string_lossy().into_owned());
        }
    }
    None
}

/// The folder that an entrypoint collects as a kind.
pub(crate) fn folder(entrypoint: &Entrypoint, kind: Kind, files: &Path) -> Option<PathBuf> {
    let folder = entrypoint.handler.as_ref()?.files_up.get(kind.key())?;
    path::check(folder).ok()?;
    Some(files.join(folder))
}

/// Sends files back.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    metadata: Link,
    uploader: Uploader,
}

impl Sender {
    pub(crate) fn new(metadata: Link, storage: Link) -> Self {
        Self {
            metadata,
            uploader: Uploader::new(
                storage,
                UploadOptions {
                    concurrency: 4,
                    ..UploadOptions::default()
                },
            ),
        }
    }

    /// Stores files as the session of an attempt and completes it; its name, or none if there are no files. Safe to repeat.
    pub(crate) async fn send(
        &self,
        job: &Job,
        name: &JobName,
        attempt: i32,
        kind: Kind,
        files: BTreeMap<String, PathBuf>,
    ) -> Result<Option<SessionName>> {
        if files.is_empty() {
            return Ok(None);
        }
        let dataset = self.dataset(name, kind).await?;
        let session = dataset.session(&format!("{}-{attempt}", name.job))?;
        let mut origins: Vec<String> = job
            .inputs
            .iter()
            .flat_map(|input| input.pinned.clone())
            .collect();
        origins.sort_unstable();
        origins.dedup();
        origins.truncate(MAX_ORIGINS);
        let mut sessions = SessionServiceClient::new(self.metadata.clone());
        let request = CreateSessionRequest {
            parent: dataset.to_string(),
            session: Some(Session {
                derived_from: origins,
                producer: name.to_string(),
                ..Session::default()
            }),
            session_id: session.session.clone(),
            request_id: String::new(),
        };
        answer(sessions.create_session(request).await)?;
        let count = i64::try_from(files.len()).unwrap_or(i64::MAX);
        let items = files.into_iter().map(|(path, file)| Item {
            path,
            source: Source::File(file),
            media_type: String::new(),
            derived_from: Vec::new(),
            producer: name.to_string(),
        });
        self.uploader
            .upload(&session, items.collect(), &NoProgress)
            .await?;
        answer(
            sessions
                .complete_session(CompleteSessionRequest {
                    name: session.to_string(),
                    asset_count: count,
                })
                .await,
        )?;
        Ok(Some(session))
    }

    /// The dataset of a kind; made if it is not there.
    async fn dataset(&self, job: &JobName, kind: Kind) -> Result<DatasetName> {
        let (id, kind) = kind.dataset();
        let name = DatasetName::new(&job.project, id)?;
        let mut datasets = DatasetServiceClient::new(self.metadata.clone());
        match answer(
            datasets
                .get_dataset(GetDatasetRequest {
                    name: name.to_string(),
                })
                .await,
        ) {
            Ok(there) if there.kind() == kind => return Ok(name),
            Ok(there) => {
                let reason = format!(
                    "it is of kind {}: results of jobs need a dataset of this name and the kind {}",
                    kind_name(there.kind()),
                    kind_name(kind)
                );
                return Err(Error::precondition(&name, reason));
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let request = CreateDatasetRequest {
            parent: ProjectName {
                project: job.project.clone(),
            }
            .to_string(),
            dataset: Some(Dataset {
                kind: kind.into(),
                ..Dataset::default()
            }),
            dataset_id: id.to_owned(),
            request_id: String::new(),
        };
        match answer(datasets.create_dataset(request).await) {
            // Another attempt made it at the same time.
            Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(name),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_found_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/c.txt"), "c").unwrap();
        fs::write(root.join("z"), "z").unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("folder")).unwrap();
        let found = find(folder.path(), &root);
        assert_eq!(found.files.keys().collect::<Vec<_>>(), ["a/b/c.txt", "z"]);
        assert_eq!(found.bytes, 2);
        assert_eq!(
            found.notes,
            [
                "not collected: \"folder\": it is a link or a special file",
                "not collected: \"link\": it is a link or a special file"
            ]
        );
        assert!(
            find(folder.path(), &folder.path().join("missing"))
                .notes
                .is_empty()
        );
    }

    #[test]
    fn a_folder_that_became_a_link_gives_nothing_of_what_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        let host = tempfile::tempdir().unwrap();
        fs::create_dir(host.path().join("inner")).unwrap();
        fs::write(host.path().join("inner/shadow"), "secret").unwrap();
        fs::write(host.path().join("shadow"), "secret").unwrap();
        std::os::unix::fs::symlink(host.path(), root.path().join("output")).unwrap();
        for folder in ["output", "output/inner"] {
            let found = find(root.path(), &root.path().join(folder));
            assert!(found.files.is_empty(), "{folder}: {found:?}");
            assert_eq!(
                found.notes,
                ["not collected: \"output\": it is a link, not a folder"]
            );
        }
    }
}
