//! Sessions without a manifest: those that were not completed. What arrived of them is in the store, and the rest comes when whoever sends them
//! goes on.

use std::collections::HashSet;

use granary_core::{
    Error, Result, id,
    layout::DatasetKind,
    name::{AssetName, SessionName},
    path,
};
use granary_proto::convert::Report;

use super::{
    Restorer, Write,
    held::{Held, size},
};
use crate::{
    check,
    state::{asset, session::State},
    store::{
        asset::{self as assets, Asset},
        attributes::Attributes,
        json,
        session::{self as store, Counts, Session},
    },
};

/// How the database knows a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not at all.
    Unknown,
    /// It takes files.
    Open,
    /// It was completed.
    Closed,
}

/// How the database knows files of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Those that it does not know.
    pub unknown: HashSet<AssetName>,
    /// How many of the others have arrived.
    pub arrived: u64,
}

/// A file that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path within the session.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// Its media type.
    pub media_type: String,
    /// When it arrived, in microseconds since 1970.
    pub arrived: i64,
}

impl Restorer {
    /// How the database knows a session, and how many files of it have arrived.
    pub async fn standing(&self, name: &SessionName) -> Result<(Standing, u64)> {
        let found = store::get(self.db.reader(), std::slice::from_ref(name)).await?;
        let Some(session) = found.first() else {
            return Ok((Standing::Unknown, 0));
        };
        let standing = match session.state {
            State::Open => Standing::Open,
            State::Completed | State::Processed | State::Failed => Standing::Closed,
        };
        let arrived = session.asset_count - session.pending_count;
        Ok((standing, u64::try_from(arrived).unwrap_or_default()))
    }

    /// How the database knows the files at some paths of a session.
    pub async fn seen(&self, session: &SessionName, paths: &[&str]) -> Result<Seen> {
        let names: Vec<AssetName> = paths.iter().map(|path| session.asset(path)).collect();
        let known = assets::get(self.db.reader(), &names).await?;
        let mut seen = Seen {
            unknown: names.into_iter().collect(),
            arrived: 0,
        };
        for asset in known {
            seen.unknown.remove(&asset.name);
            seen.arrived += u64::from(asset.state != asset::State::Pending);
        }
        Ok(seen)
    }

    /// Adds files to an open session, which is opened if it is not there; how many were added, and their bytes.
    pub async fn add_files(
        &self,
        name: &SessionName,
        kind: DatasetKind,
        files: Vec<File>,
    ) -> Result<(u64, u64)> {
        let files = files.into_iter().map(|file| uploaded(name, kind, file));
        let files: Vec<Asset> = files.collect::<Result<_>>()?;
        let Some(first) = files.iter().map(|asset| asset.created).min() else {
            return Ok((0, 0));
        };
        let write = self.write().await?;
        if !write.takes_files(name, kind, first).await? {
            return Ok((0, 0));
        }
        let counts = write.add(name, &files).await?;
        write.commit().await?;
        Ok(size(&counts))
    }
}

impl Write<'_> {
    /// Whether a session takes files, which is opened if it is not there. It may have been closed meanwhile.
    async fn takes_files(&self, name: &SessionName, kind: DatasetKind, first: i64) -> Result<bool> {
        let found = store::lock(&self.tx, std::slice::from_ref(name)).await?;
        match found.first() {
            None => {
                store::add(&self.tx, &[&opened(name, kind, first)?]).await?;
                Ok(true)
            }
            Some(session) => Ok(session.state == State::Open),
        }
    }

    /// Adds those files to an open session that are not there; what was added.
    async fn add(&self, name: &SessionName, files: &[Asset]) -> Result<Counts> {
        let names: Vec<AssetName> = files.iter().map(|asset| asset.name.clone()).collect();
        let known = assets::get(&self.tx, &names).await?;
        let known: HashSet<&AssetName> = known.iter().map(|asset| &asset.name).collect();
        let new: Vec<&Asset> = files
            .iter()
            .filter(|asset| !known.contains(&asset.name))
            .collect();
        assets::add(&self.tx, &new).await?;
        let (mut counts, mut held) = (Counts::default(), Held::default());
        for asset in &new {
            counts.assets += 1;
            counts.bytes += asset.size_bytes;
            held.add(asset.created, asset.size_bytes, 1);
        }
        store::count(&self.tx, [(name, &counts)]).await?;
        held.settle(&self.tx, &name.project).await?;
        Ok(counts)
    }
}

fn opened(name: &SessionName, kind: DatasetKind, created: i64) -> Result<Session> {
    let attributes = Attributes::new();
    let opened_with = id::digest(&[&json::encode("attributes", &attributes)?, ""]);
    Ok(Session {
        name: name.clone(),
        kind,
        state: State::Open,
        attributes,
        metadata_path: String::new(),
        derived_from: Vec::new(),
        producer: String::new(),
        errors: Report::new(),
        opened_with,
        asset_count: 0,
        pending_count: 0,
        ready_count: 0,
        rejected_count: 0,
        size_bytes: 0,
        created,
        completed: None,
        finished: None,
    })
}

fn uploaded(session: &SessionName, kind: DatasetKind, file: File) -> Result<Asset> {
    path::check(&file.path)?;
    check::text("media_type", &file.media_type, 255)?;
    if !id::is_sha256(&file.sha256) {
        return Err(Error::invalid("sha256", "expected 64 of 0-9 and a-f"));
    }
    let size = i64::try_from(file.size);
    Ok(Asset {
        name: session.asset(&file.path),
        kind,
        session: session.session.clone(),
        path: file.path,
        media_type: file.media_type,
        size_bytes: size.map_err(|_| Error::invalid("size_bytes", "expected less"))?,
        sha256: file.sha256,
        state: asset::State::Uploaded,
        attributes: Attributes::new(),
        errors: Report::new(),
        derived_from: Vec::new(),
        producer: String::new(),
        created: file.arrived,
        updated: file.arrived,
    })
}
