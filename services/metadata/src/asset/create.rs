//! Registering assets, many calls at once.

use std::collections::{BTreeMap, HashMap};

use granary_core::{
    Error, Result,
    name::{AssetName, SessionName, quote},
};
use granary_proto::convert::Report;
use granary_runtime::db;

use crate::{
    Context,
    state::{asset::State, session},
    store::{
        asset::{self as store, Asset},
        attributes::Attributes,
        session::{self as sessions, Counts, Session},
    },
};

/// An asset to register.
#[derive(Debug)]
pub(crate) struct NewAsset {
    pub path: String,
    pub media_type: String,
    pub size_bytes: i64,
    pub sha256: String,
    pub attributes: Attributes,
    pub derived_from: Vec<String>,
    pub producer: String,
}

/// Assets to register in one session, all or none.
#[derive(Debug)]
pub(crate) struct Registration {
    pub session: SessionName,
    pub assets: Vec<NewAsset>,
}

/// What is there, and what is added.
struct Desk {
    sessions: HashMap<SessionName, Session>,
    assets: HashMap<AssetName, Asset>,
    added: Vec<AssetName>,
    counts: BTreeMap<SessionName, Counts>,
    now: i64,
}

/// Registers assets in one transaction, with a result for each call.
pub(super) async fn register(
    context: Context,
    new: Vec<Registration>,
) -> Result<Vec<Result<Vec<Asset>>>> {
    let tx = context.db.begin().await?;
    let mut names: Vec<_> = new
        .iter()
        .map(|registration| registration.session.clone())
        .collect();
    names.sort();
    names.dedup();
    let wanted: Vec<_> = new
        .iter()
        .flat_map(|r| r.assets.iter().map(|asset| r.session.asset(&asset.path)))
        .collect();
    let mut desk = Desk {
        sessions: sessions::lock(&tx, &names)
            .await?
            .into_iter()
            .map(|s| (s.name.clone(), s))
            .collect(),
        assets: store::get(&tx, &wanted)
            .await?
            .into_iter()
            .map(|a| (a.name.clone(), a))
            .collect(),
        added: Vec::new(),
        counts: BTreeMap::new(),
        now: context.now(),
    };
    let results = new
        .into_iter()
        .map(|registration| desk.register(registration))
        .collect();
    let added: Vec<_> = desk
        .added
        .iter()
        .filter_map(|name| desk.assets.get(name))
        .collect();
    store::add(&tx, &added).await?;
    sessions::count(&tx, &desk.counts).await?;
    db::commit(tx).await?;
    Ok(results)
}

impl Desk {
    fn register(&mut self, registration: Registration) -> Result<Vec<Asset>> {
        let name = registration.session;
        let session = self
            .sessions
            .get(&name)
            .ok_or_else(|| Error::not_found(&name))?;
        let (kind, is_open) = (session.kind, session.state == session::State::Open);
        let (mut answer, mut fresh) = (
            Vec::with_capacity(registration.assets.len()),
            HashMap::new(),
        );
        for new in registration.assets {
            let id = name.asset(&new.path);
            if let Some(found) = self.assets.get(&id).or_else(|| fresh.get(&id)) {
                answer.push(same(found, &new)?);
                continue;
            }
            if !is_open {
                let reason = format!(
                    "it is {} and takes no new assets, such as {}: open another session",
                    session.state.as_str(),
                    quote(&new.path)
                );
                return Err(Error::precondition(&name, reason));
            }
            let asset = new.into_asset(id.clone(), kind, &name, self.now);
            answer.push(asset.clone());
            fresh.insert(id, asset);
        }
        // Only now that all of them are fine.
        let counts = self.counts.entry(name).or_default();
        for asset in fresh.values() {
            counts.assets += 1;
            counts.pending += 1;
            counts.bytes += asset.size_bytes;
        }
        self.added.extend(fresh.keys().cloned());
        self.assets.extend(fresh);
        Ok(answer)
    }
}

fn same(found: &Asset, new: &NewAsset) -> Result<Asset> {
    if found.size_bytes == new.size_bytes && found.sha256 == new.sha256 {
        return Ok(found.clone());
    }
    let reason = format!(
        "the path {} of {} holds {} bytes with the SHA-256 {}: bytes are written once, so choose another path or session",
        quote(&found.path),
        found.session_name(),
        found.size_bytes,
        found.sha256
    );
    Err(Error::already_exists(&found.name, reason))
}

impl NewAsset {
    fn into_asset(
        self,
        name: AssetName,
        kind: granary_core::layout::DatasetKind,
        session: &SessionName,
        now: i64,
    ) -> Asset {
        Asset {
            name,
            kind,
            session: session.session.clone(),
            path: self.path,
            media_type: self.media_type,
            size_bytes: self.size_bytes,
            sha256: self.sha256,
            state: State::Pending,
            attributes: self.attributes,
            errors: Report::new(),
            derived_from: self.derived_from,
            producer: self.producer,
            created: now,
            updated: now,
        }
    }
}
