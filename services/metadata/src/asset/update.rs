//! Applying events to assets, many calls at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use granary_core::{
    Error, Result,
    name::{AssetName, SessionName},
};
use granary_proto::convert::Report;
use granary_runtime::db;
use sea_orm::DbBackend;

use crate::{
    Context,
    state::asset::{Event, State, next},
    store::{
        asset::{self as store, Asset},
        attributes::{self, Attributes},
        json,
        session::{self as sessions, Counts},
    },
};

/// What happened to one asset.
#[derive(Debug)]
pub(crate) struct Change {
    pub name: AssetName,
    pub event: Event,
    /// With STORED, the content that was found, or empty.
    pub sha256: String,
    pub errors: Report,
    pub attributes: Attributes,
    /// What its content shows, or empty.
    pub media_type: String,
}

/// Changes of one call; each was parsed, or says why not.
#[derive(Debug)]
pub(crate) struct Update {
    pub changes: Vec<Result<Change>>,
}

#[derive(Default)]
struct Desk {
    assets: HashMap<AssetName, Asset>,
    changed: BTreeSet<AssetName>,
    /// Those whose attributes changed.
    learned: BTreeSet<AssetName>,
    counts: BTreeMap<SessionName, Counts>,
    now: i64,
}

/// Applies the changes of many calls in one transaction.
pub(super) async fn apply(
    context: Context,
    updates: Vec<Update>,
) -> Result<Vec<Result<Vec<Result<State>>>>> {
    let mut names: Vec<_> = updates
        .iter()
        .flat_map(|u| u.changes.iter().flatten().map(|change| change.name.clone()))
        .collect();
    names.sort();
    names.dedup();
    let tx = context.db.begin().await?;
    if context.db.backend() == DbBackend::Postgres {
        // The lock of a session covers its assets.
        let of = store::sessions(&tx, &names).await?;
        sessions::lock(&tx, &of).await?;
    }
    let found = store::get(&tx, &names).await?;
    let assets = found
        .into_iter()
        .map(|asset| (asset.name.clone(), asset))
        .collect();
    let mut desk = Desk {
        assets,
        now: context.now(),
        ..Desk::default()
    };
    let results = updates
        .into_iter()
        .map(|update| {
            Ok(update
                .changes
                .into_iter()
                .map(|change| desk.apply(change?))
                .collect())
        })
        .collect();
    let of = |names: &BTreeSet<AssetName>| {
        names
            .iter()
            .filter_map(|name| desk.assets.get(name))
            .collect::<Vec<_>>()
    };
    store::update(&tx, &of(&desk.changed)).await?;
    store::index(&tx, &of(&desk.learned)).await?;
    sessions::count(&tx, &desk.counts).await?;
    db::commit(tx).await?;
    Ok(results)
}

impl Desk {
    fn apply(&mut self, change: Change) -> Result<State> {
        let asset = self
            .assets
            .get_mut(&change.name)
            .ok_or_else(|| Error::not_found(&change.name))?;
        if !change.sha256.is_empty() && change.sha256 != asset.sha256 {
            return Err(Error::Aborted {
                resource: change.name.to_string(),
                reason: "its path was declared with other content meanwhile".into(),
            });
        }
        let end = next(asset.state, change.event).map_err(|wrong| wrong.of(&change.name))?;
        if end == asset.state {
            return Ok(end);
        }
        let mut after = asset.clone();
        if matches!(end, State::Ready | State::Rejected) {
            let learns = !change.attributes.is_empty();
            after.learn(change)?;
            if learns {
                self.learned.insert(after.name.clone());
            }
        }
        let counts = self.counts.entry(asset.session_name()).or_default();
        counts.leave(asset.state);
        counts.enter(end);
        after.state = end;
        after.updated = self.now;
        self.changed.insert(after.name.clone());
        *asset = after;
        Ok(end)
    }
}

impl Asset {
    /// Takes over what a verdict says.
    fn learn(&mut self, change: Change) -> Result<()> {
        attributes::merge("attributes", &mut self.attributes, change.attributes)?;
        if !change.media_type.is_empty() {
            self.media_type = change.media_type;
        }
        if change.event == Event::Refused {
            self.errors = change.errors;
        }
        json::encode("errors", &self.errors).map(drop)
    }
}

impl Counts {
    fn leave(&mut self, state: State) {
        self.shift(state, -1);
    }

    fn enter(&mut self, state: State) {
        self.shift(state, 1);
    }

    fn shift(&mut self, state: State, by: i64) {
        match state {
            State::Pending => self.pending += by,
            State::Ready => self.ready += by,
            State::Rejected => self.rejected += by,
            State::Uploaded | State::Validating => {}
        }
    }
}
