//! Sessions without a manifest: those that were not completed. What arrived of them is in the store, and the rest comes when whoever sends them
//! goes on.

use std::collections::{BTreeMap, HashSet};

use granary_core::{
    Error, Result,
    clock::from_micros,
    day::Day,
    id,
    layout::DatasetKind,
    name::{AssetName, SessionName},
    path,
};
use granary_proto::convert::Report;

use super::Restorer;
use crate::{
    check,
    state::{asset, session::State},
    store::{
        asset::{self as assets, Asset},
        attributes::Attributes,
        json,
        session::{self as store, Counts, Session},
        usage::{self, Used},
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
    /// How the database knows a session.
    pub async fn standing(&self, name: &SessionName) -> Result<Standing> {
        let found = store::get(self.db.reader(), std::slice::from_ref(name)).await?;
        Ok(match found.first() {
            None => Standing::Unknown,
            Some(session) if session.state == State::Open => Standing::Open,
            Some(_) => Standing::Closed,
        })
    }

    /// Those of some paths at which the database knows no asset of a session.
    pub async fn unknown(
        &self,
        session: &SessionName,
        paths: &[&str],
    ) -> Result<HashSet<AssetName>> {
        let names: Vec<AssetName> = paths.iter().map(|path| session.asset(path)).collect();
        let known = assets::get(self.db.reader(), &names).await?;
        let known: HashSet<AssetName> = known.into_iter().map(|asset| asset.name).collect();
        Ok(names
            .into_iter()
            .filter(|name| !known.contains(name))
            .collect())
    }

    /// Adds files to an open session, which is opened if it is not there; how many were added, and their bytes.
    pub async fn add_files(
        &self,
        name: &SessionName,
        kind: DatasetKind,
        files: Vec<File>,
    ) -> Result<(u64, u64)> {
        let new: Vec<Asset> = files
            .into_iter()
            .map(|file| uploaded(name, kind, file))
            .collect::<Result<_>>()?;
        let Some(first) = new.iter().map(|asset| asset.created).min() else {
            return Ok((0, 0));
        };
        let write = self.write().await?;
        let found = store::lock(&write.tx, std::slice::from_ref(name)).await?;
        match found.first() {
            None => store::add(&write.tx, &[&opened(name, kind, first)?]).await?,
            Some(session) if session.state == State::Open => {}
            // Closed meanwhile: it takes nothing.
            Some(_) => return Ok((0, 0)),
        }
        let names: Vec<AssetName> = new.iter().map(|asset| asset.name.clone()).collect();
        let known = assets::get(&write.tx, &names).await?;
        let known: HashSet<AssetName> = known.into_iter().map(|asset| asset.name).collect();
        let new: Vec<&Asset> = new
            .iter()
            .filter(|asset| !known.contains(&asset.name))
            .collect();
        assets::add(&write.tx, &new).await?;
        let mut counts = Counts::default();
        let mut days: BTreeMap<Day, Used> = BTreeMap::new();
        for asset in &new {
            counts.assets += 1;
            counts.bytes += asset.size_bytes;
            let day = Day::of(from_micros(asset.created));
            days.entry(day).or_default().add(Used {
                bytes: asset.size_bytes,
                objects: 1,
                ..Used::default()
            });
        }
        store::count(&write.tx, [(name, &counts)]).await?;
        let project = name.project.as_str();
        usage::lock(&write.tx, &[project].into()).await?;
        for (day, used) in days {
            let added = BTreeMap::from([(project.to_owned(), used)]);
            usage::hold(&write.tx, day, &added).await?;
        }
        write.commit().await?;
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        Ok((number(counts.assets), number(counts.bytes)))
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
