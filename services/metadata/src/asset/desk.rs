//! What registering assets comes to: what is there, what is added, and what is in the way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use granary_core::{
    Error, Result,
    name::{AssetName, SessionName, quote},
};
use sea_orm::ConnectionTrait;

use super::create::{NewAsset, Registration};
use crate::{
    state::{asset::State, session},
    store::{
        asset::{self as store, Asset},
        session::{self as sessions, Counts, Session},
    },
    usage::Holdings,
};

/// What is there, and what becomes of it.
pub(super) struct Desk {
    sessions: HashMap<SessionName, Session>,
    assets: HashMap<AssetName, Asset>,
    /// Names that files would have where there are folders.
    folders: HashSet<AssetName>,
    added: BTreeSet<AssetName>,
    replaced: BTreeSet<AssetName>,
    counts: BTreeMap<SessionName, Counts>,
    /// What their projects hold, and may.
    holdings: Holdings,
    now: i64,
}

/// What one registration would change, while it is not known whether all of it is fine.
#[derive(Default)]
struct Draft {
    names: Vec<AssetName>,
    assets: HashMap<AssetName, Asset>,
    folders: HashSet<String>,
    counts: Counts,
}

/// The folders above a path, the outermost first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter_map(|(end, _)| path.get(..end))
}

impl Desk {
    /// Locks the sessions, and what their projects hold, and reads what the registrations may meet.
    pub(super) async fn read(
        tx: &impl ConnectionTrait,
        new: &[Registration],
        now: i64,
    ) -> Result<Self> {
        let names: BTreeSet<_> = new.iter().map(|r| r.session.clone()).collect();
        let sessions: HashMap<_, _> = sessions::lock(tx, &Vec::from_iter(names))
            .await?
            .into_iter()
            .map(|session| (session.name.clone(), session))
            .collect();
        let (mut paths, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for registration in new {
            for asset in &registration.assets {
                paths.insert((&registration.session, asset.path.as_str()));
                folders.extend(above(&asset.path).map(|folder| (&registration.session, folder)));
            }
        }
        let wanted = paths.union(&folders);
        let wanted: Vec<_> = wanted.map(|(session, path)| session.asset(path)).collect();
        let assets: HashMap<_, _> = store::get(tx, &wanted)
            .await?
            .into_iter()
            .map(|asset| (asset.name.clone(), asset))
            .collect();
        paths.retain(|(name, path)| {
            let filled = sessions.get(name).is_some_and(|s| s.asset_count > 0);
            filled && !assets.contains_key(&name.asset(path))
        });
        let projects: BTreeSet<_> = sessions.keys().map(|name| name.project.as_str()).collect();
        let holdings = Holdings::lock(tx, &projects).await?;
        Ok(Self {
            holdings,
            folders: store::folders(tx, &Vec::from_iter(paths)).await?,
            sessions,
            assets,
            added: BTreeSet::new(),
            replaced: BTreeSet::new(),
            counts: BTreeMap::new(),
            now,
        })
    }

    /// Stores what became of it.
    pub(super) async fn write(&self, tx: &impl ConnectionTrait) -> Result<()> {
        let of = |names: &BTreeSet<AssetName>| {
            let found = names.iter().filter_map(|name| self.assets.get(name));
            found.collect::<Vec<_>>()
        };
        store::add(tx, &of(&self.added)).await?;
        store::replace(tx, &of(&self.replaced)).await?;
        sessions::count(tx, &self.counts).await?;
        self.holdings.write(tx, self.now).await
    }

    /// Registers assets of one session, all or none.
    pub(super) fn register(&mut self, registration: Registration) -> Result<Vec<Asset>> {
        let name = registration.session;
        let session = self
            .sessions
            .get(&name)
            .ok_or_else(|| Error::not_found(&name))?;
        let mut draft = Draft::default();
        for (i, new) in registration.assets.into_iter().enumerate() {
            self.place(session, &mut draft, new)
                .map_err(|error| error.within(&format!("assets[{i}]")))?;
        }
        self.holdings.add(&name.project, draft.counts)?;
        // Only now that all of them are fine.
        self.counts
            .entry(name.clone())
            .or_default()
            .add(draft.counts);
        let folders = draft.folders.iter().map(|folder| name.asset(folder));
        self.folders.extend(folders);
        for (name, asset) in draft.assets {
            let stored = self.assets.insert(name.clone(), asset).is_some();
            if !stored {
                self.added.insert(name);
            } else if !self.added.contains(&name) {
                self.replaced.insert(name);
            }
        }
        let answer = draft.names.iter();
        Ok(answer
            .filter_map(|name| self.assets.get(name))
            .cloned()
            .collect())
    }

    fn place(&self, session: &Session, draft: &mut Draft, new: NewAsset) -> Result<()> {
        let name = session.name.asset(&new.path);
        draft.names.push(name.clone());
        let drafted = draft.assets.get(&name);
        let stored = self.assets.get(&name);
        if let Some(found) = drafted.or(stored) {
            if found.holds(&new) {
                return Ok(());
            }
            // What is on its way may be declared anew, though not as two things at once.
            if drafted.is_some() || found.state != State::Pending {
                return Err(taken(found));
            }
        }
        takes(session, &new.path)?;
        match stored {
            Some(found) => {
                draft.counts.bytes += new.size_bytes - found.size_bytes;
                draft.assets.insert(name, found.with(new, self.now));
            }
            None => {
                self.check_folders(session, draft, &name, &new.path)?;
                draft.counts.assets += 1;
                draft.counts.pending += 1;
                draft.counts.bytes += new.size_bytes;
                let asset = new.into_asset(name.clone(), session.kind, &session.name, self.now);
                draft.assets.insert(name, asset);
            }
        }
        Ok(())
    }

    /// Refuses a file where there is a folder, and a folder where there is a file: neither every store nor the disk that a session is
    /// downloaded to holds both.
    fn check_folders(
        &self,
        session: &Session,
        draft: &mut Draft,
        name: &AssetName,
        path: &str,
    ) -> Result<()> {
        if self.folders.contains(name) || draft.folders.contains(path) {
            let why = "expected another path, since the session has files below";
            return Err(Error::invalid("path", format!("{why} {}", quote(path))));
        }
        for folder in above(path) {
            if !draft.folders.insert(folder.to_owned()) {
                continue;
            }
            let file = session.name.asset(folder);
            if self.assets.contains_key(&file) || draft.assets.contains_key(&file) {
                let why = "expected another path, since the session has the file";
                let reason = format!("{why} {}, got {}", quote(folder), quote(path));
                return Err(Error::invalid("path", reason));
            }
        }
        Ok(())
    }
}

fn takes(session: &Session, path: &str) -> Result<()> {
    if session.state == session::State::Open {
        return Ok(());
    }
    let reason = format!(
        "it is {} and takes no new assets, such as {}: open another session",
        session.state.as_str(),
        quote(path)
    );
    Err(Error::precondition(&session.name, reason))
}

fn taken(found: &Asset) -> Error {
    let reason = format!(
        "the path {} of {} holds {} bytes with the SHA-256 {}: bytes are written once, so choose another path or session",
        quote(&found.path),
        found.session_name(),
        found.size_bytes,
        found.sha256
    );
    Error::already_exists(&found.name, reason)
}

impl Asset {
    fn holds(&self, new: &NewAsset) -> bool {
        self.size_bytes == new.size_bytes && self.sha256 == new.sha256
    }

    /// The asset, declared anew.
    fn with(&self, new: NewAsset, now: i64) -> Self {
        Self {
            created: self.created,
            ..new.into_asset(self.name.clone(), self.kind, &self.session_name(), now)
        }
    }
}
