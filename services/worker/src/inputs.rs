//! Inputs: what pinned names stand for, and where it goes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use granary_core::{
    Error, Result,
    name::{AssetName, ProjectName, SessionName, SnapshotName, quote},
    path,
};
use granary_proto::{
    MAX_MESSAGE_BYTES,
    job::v1::{Entrypoint, Job},
    metadata::v1::{
        Asset, AssetState, BatchGetAssetsRequest, ListAssetsRequest, ListSnapshotAssetsRequest,
        asset_service_client::AssetServiceClient, snapshot_service_client::SnapshotServiceClient,
    },
};
use granary_runtime::{Link, rpc::answer};

const PAGE: i32 = 1000;

/// A file that a job works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub asset: AssetName,
    pub size_bytes: u64,
    pub sha256: String,
    session: SessionName,
    path: String,
}

/// Why the inputs cannot be laid out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// They contradict each other, or are not what they should be: another attempt would not help.
    Final(String),
    /// They could not be asked for.
    Passing(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } | Error::Precondition { .. } | Error::Invalid(_) => {
                Self::Final(error.to_string())
            }
            other => Self::Passing(other),
        }
    }
}

/// All files of a job, each with its place below the folder of its files: `{folder}/{session}/{path}`.
pub(crate) async fn resolve(
    metadata: &Link,
    job: &Job,
    entrypoint: &Entrypoint,
) -> Result<BTreeMap<String, File>, Failure> {
    let mut places = BTreeMap::new();
    for input in &job.inputs {
        let folder = entrypoint
            .handler
            .as_ref()
            .and_then(|handler| handler.files_down.get(&input.mapping));
        let folder = folder.ok_or_else(|| {
            Failure::Final(format!(
                "the entrypoint has no folder for the input {}",
                quote(&input.mapping)
            ))
        })?;
        let mut assets = Vec::new();
        for name in &input.pinned {
            if let Ok(snapshot) = SnapshotName::parse(name) {
                of_snapshot(metadata, &snapshot, folder, &mut places).await?;
            } else if let Ok(session) = SessionName::parse(name) {
                of_session(metadata, &session, folder, &mut places).await?;
            } else {
                assets.push(AssetName::parse(name)?);
            }
        }
        of_assets(metadata, &assets, folder, &mut places).await?;
    }
    nested(&places)?;
    Ok(places)
}

async fn of_snapshot(
    metadata: &Link,
    name: &SnapshotName,
    folder: &str,
    places: &mut BTreeMap<String, File>,
) -> Result<(), Failure> {
    let mut client =
        SnapshotServiceClient::new(metadata.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut page_token = String::new();
    loop {
        let request = ListSnapshotAssetsRequest {
            parent: name.to_string(),
            page_size: PAGE,
            page_token,
        };
        let page = answer(client.list_snapshot_assets(request).await)?;
        for asset in page.assets {
            let file = file(
                &asset.asset,
                &asset.session,
                asset.path,
                asset.size_bytes,
                asset.sha256,
            )?;
            place(folder, file, places)?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn of_session(
    metadata: &Link,
    name: &SessionName,
    folder: &str,
    places: &mut BTreeMap<String, File>,
) -> Result<(), Failure> {
    let mut client =
        AssetServiceClient::new(metadata.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let filter = format!("session = \"{}\"", name.session);
    let mut page_token = String::new();
    loop {
        let request = ListAssetsRequest {
            parent: name.parent().to_string(),
            page_size: PAGE,
            page_token,
            filter: filter.clone(),
        };
        let page = answer(client.list_assets(request).await)?;
        // What was rejected is not to be worked on. The pipelines had ended when the session was pinned: it is the same in each attempt.
        for asset in page
            .assets
            .into_iter()
            .filter(|asset| asset.state() != AssetState::Rejected)
        {
            place(folder, of_asset(asset)?, places)?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn of_assets(
    metadata: &Link,
    names: &[AssetName],
    folder: &str,
    places: &mut BTreeMap<String, File>,
) -> Result<(), Failure> {
    let mut client =
        AssetServiceClient::new(metadata.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    for chunk in names.chunks(PAGE as usize) {
        let Some(first) = chunk.first() else {
            return Ok(());
        };
        let parent = ProjectName {
            project: first.project.clone(),
        }
        .to_string();
        let request = BatchGetAssetsRequest {
            parent,
            names: chunk.iter().map(ToString::to_string).collect(),
        };
        for asset in answer(client.batch_get_assets(request).await)?.assets {
            place(folder, of_asset(asset)?, places)?;
        }
    }
    Ok(())
}

fn of_asset(asset: Asset) -> Result<File> {
    file(
        &asset.name,
        &asset.session,
        asset.path,
        asset.size_bytes,
        asset.sha256,
    )
}

fn file(asset: &str, session: &str, path: String, size: i64, sha256: String) -> Result<File> {
    // The path becomes one on this machine: it is checked here again, whoever sent it.
    path::check(&path)?;
    let size_bytes = u64::try_from(size)
        .map_err(|_| Error::invalid("size_bytes", format!("expected 0 or more, got {size}")))?;
    Ok(File {
        asset: AssetName::parse(asset)?,
        session: SessionName::parse(session)?,
        path,
        size_bytes,
        sha256,
    })
}

fn place(folder: &str, file: File, places: &mut BTreeMap<String, File>) -> Result<(), Failure> {
    let place = format!("{folder}/{}/{}", file.session.session, file.path);
    match places.get(&place) {
        Some(other) if other.asset != file.asset => Err(contradiction(&place, other, &file)),
        Some(_) => Ok(()),
        None => {
            places.insert(place, file);
            Ok(())
        }
    }
}

/// A file cannot be a folder of others too.
fn nested(places: &BTreeMap<String, File>) -> Result<(), Failure> {
    for (place, file) in places {
        let mut above = place.as_str();
        while let Some((folder, _)) = above.rsplit_once('/') {
            if let Some(other) = places.get(folder) {
                return Err(contradiction(folder, other, file));
            }
            above = folder;
        }
    }
    Ok(())
}

fn contradiction(place: &str, a: &File, b: &File) -> Failure {
    Failure::Final(format!(
        "two inputs would lie at {}: {} (of {}) and {} (of {}): give them in different mappings, or leave one out",
        quote(place),
        a.asset,
        a.session,
        b.asset,
        b.session
    ))
}

/// Makes the folders that files go to, and checks that none leads out of `files`. `files` must be free of symbolic links.
pub(crate) fn make_folders(
    files: &Path,
    folders: impl Iterator<Item = String>,
    places: impl Iterator<Item = String>,
) -> std::io::Result<()> {
    let parents = places.filter_map(|place| Some(Path::new(&place).parent()?.to_owned()));
    let mut all: Vec<PathBuf> = folders.map(PathBuf::from).chain(parents).collect();
    all.sort();
    all.dedup();
    for folder in all {
        let folder = files.join(folder);
        fs::create_dir_all(&folder)?;
        if folder.canonicalize()? != folder {
            return Err(std::io::Error::other(
                "a folder of the inputs leads elsewhere",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(dataset: &str, path: &str) -> File {
        let session = SessionName::new("p", dataset, "s").unwrap();
        let asset = session.asset(path);
        file(
            &asset.to_string(),
            &session.to_string(),
            path.into(),
            1,
            String::new(),
        )
        .unwrap()
    }

    fn text(failure: Failure) -> String {
        match failure {
            Failure::Final(text) => text,
            Failure::Passing(error) => panic!("{error}"),
        }
    }

    #[test]
    fn two_assets_at_one_place_are_both_named() {
        let mut places = BTreeMap::new();
        place("data", sample("a", "x.bin"), &mut places).unwrap();
        place("data", sample("a", "x.bin"), &mut places).unwrap();
        assert_eq!(places.keys().collect::<Vec<_>>(), ["data/s/x.bin"]);
        let error = text(place("data", sample("b", "x.bin"), &mut places).unwrap_err());
        for part in [
            "\"data/s/x.bin\"",
            "datasets/a/sessions/s",
            "datasets/b/sessions/s",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_file_is_no_folder() {
        let mut places = BTreeMap::new();
        place("data", sample("a", "x"), &mut places).unwrap();
        place("data", sample("b", "x/y"), &mut places).unwrap();
        assert!(text(nested(&places).unwrap_err()).contains("\"data/s/x\""));
    }

    #[test]
    fn hostile_paths_reach_no_disk() {
        let session = SessionName::new("p", "d", "s").unwrap();
        for path in ["../x", "/etc/passwd", "a/../../b"] {
            let name = session.asset("x").to_string();
            assert!(
                file(&name, &session.to_string(), path.into(), 1, String::new()).is_err(),
                "{path}"
            );
        }
    }

    #[test]
    fn folders_are_made_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().canonicalize().unwrap();
        make_folders(
            &files,
            ["empty".to_owned()].into_iter(),
            ["data/s/a/b.bin".to_owned()].into_iter(),
        )
        .unwrap();
        assert!(files.join("empty").is_dir() && files.join("data/s/a").is_dir());
        std::os::unix::fs::symlink("/tmp", files.join("out")).unwrap();
        assert!(
            make_folders(&files, std::iter::empty(), ["out/x".to_owned()].into_iter()).is_err()
        );
    }
}
