//! Snapshots.

use std::collections::HashMap;

use granary_core::{
    Error, Result,
    filter::Filter,
    layout::DatasetKind,
    name::{DatasetScope, SnapshotName},
};
use sha2::{Digest as _, Sha256};

use crate::{
    Context, dataset,
    store::{
        dataset as datasets,
        label::Label,
        page::{self, Page},
        request,
        snapshot::{self as store, Frozen, FrozenKey, Key, Snapshot},
        unit::Unit,
    },
};

const METHOD: &str = "CreateSnapshot";

/// A snapshot to make.
pub(crate) struct NewSnapshot {
    pub name: SnapshotName,
    /// Whether the caller chose the name.
    pub chosen: bool,
    pub text: String,
    pub filter: Filter,
    pub author: String,
    pub request: Option<String>,
}

/// Freezes what matches now.
pub(crate) async fn create(context: &Context, new: NewSnapshot) -> Result<Snapshot> {
    let unit = Unit::begin(context).await?;
    let key = new.request.clone().map(|id| (new.name.project.clone(), METHOD, id));
    if let Some(found) = repeated(&unit, key.as_ref(), &new).await? {
        return Ok(found);
    }
    if datasets::dataset(&unit.tx, &new.name.parent()).await?.is_none() {
        return Err(Error::not_found(new.name.parent()));
    }
    if store::get(&unit.tx, &new.name).await?.is_some() {
        return Err(Error::already_exists(&new.name, ""));
    }
    if store::freeze(&unit.tx, &new.name, &new.filter).await? == 0 {
        let reason = "no READY asset of it matches the filter: wait for its sessions to be processed, or change the filter";
        return Err(Error::precondition(new.name.parent(), reason));
    }
    let snapshot = summary(&unit, new).await?;
    store::add(&unit.tx, &snapshot).await?;
    request::remember(&unit, key.map(|key| (key, snapshot.name.to_string())).as_slice()).await?;
    unit.emit(&snapshot.name.project, "snapshot.created", &snapshot.name);
    unit.commit(context).await?;
    Ok(snapshot)
}

/// What this request made when it came before.
async fn repeated(unit: &Unit, key: Option<&request::Key>, new: &NewSnapshot) -> Result<Option<Snapshot>> {
    let Some(key) = key else { return Ok(None) };
    let Some(resource) = request::answered(unit, std::slice::from_ref(key)).await?.remove(key) else { return Ok(None) };
    let name = SnapshotName::parse(&resource)?;
    if name.dataset != new.name.dataset || (new.chosen && name != new.name) {
        return Err(request::reused(&key.2, &resource));
    }
    store::get(&unit.tx, &name).await
}

/// Counts and digests what was frozen: a line for each asset, and one for each of its labels.
async fn summary(unit: &Unit, new: NewSnapshot) -> Result<Snapshot> {
    let (mut hash, mut last) = (Sha256::new(), None::<FrozenKey>);
    let (mut asset_count, mut label_count, mut size_bytes) = (0, 0, 0_i64);
    loop {
        let assets = store::frozen(&unit.tx, &new.name, last.as_ref(), 1000).await?;
        let Some(end) = assets.last() else { break };
        last = Some((end.session.clone(), end.path.clone()));
        let mut labels = by_asset(store::labels(&unit.tx, &new.name, &assets).await?);
        for asset in &assets {
            asset_count += 1;
            size_bytes = size_bytes.saturating_add(asset.size_bytes);
            hash.update(format!("{} {}\n", asset.name, asset.sha256));
            for label in labels.remove(&asset.name.asset).unwrap_or_default() {
                label_count += 1;
                hash.update(line(&label));
            }
        }
    }
    Ok(Snapshot {
        name: new.name,
        filter: new.text,
        digest: hex::encode(hash.finalize()),
        asset_count,
        label_count,
        size_bytes,
        author: new.author,
        created: unit.now,
    })
}

fn line(label: &Label) -> String {
    let area = label.area.map_or_else(String::new, |a| format!("{},{},{},{}", a.x, a.y, a.width, a.height));
    format!("{}@{}:{:?}:{area}\n", label.name.label, label.revision, label.class)
}

fn by_asset(labels: Vec<Label>) -> HashMap<String, Vec<Label>> {
    let mut found: HashMap<String, Vec<Label>> = HashMap::new();
    for label in labels {
        found.entry(label.name.asset.clone()).or_default().push(label);
    }
    found
}

/// The snapshot.
pub(crate) async fn get(context: &Context, name: &SnapshotName) -> Result<Snapshot> {
    store::get(context.db.reader(), name).await?.ok_or_else(|| Error::not_found(name))
}

/// A page of snapshots, the newest first.
pub(crate) async fn list<M: prost::Message>(
    context: &Context,
    scope: &DatasetScope,
    (size, last): (u32, Option<Key>),
    wire: impl Fn(Snapshot) -> M,
) -> Result<Page<M, Key>> {
    dataset::exists(context, &scope.project, scope.dataset.as_deref()).await?;
    let wire = &wire;
    page::read(size, last, move |last: Option<Key>, limit| async move {
        let rows = store::list(context.db.reader(), scope, last.as_ref(), limit).await?;
        Ok(rows.into_iter().map(|n| ((n.created, n.name.dataset.clone(), n.name.snapshot.clone()), wire(n))).collect())
    })
    .await
}

/// A page of what a snapshot holds, by session and path.
pub(crate) async fn assets<M: prost::Message>(
    context: &Context,
    name: &SnapshotName,
    (size, last): (u32, Option<FrozenKey>),
    wire: impl Fn(Frozen, DatasetKind, Vec<Label>) -> M,
) -> Result<Page<M, FrozenKey>> {
    get(context, name).await?;
    let kind = dataset::get(context, &name.parent()).await?.kind;
    let wire = &wire;
    page::read(size, last, move |last: Option<FrozenKey>, limit| async move {
        let rows = store::frozen(context.db.reader(), name, last.as_ref(), limit).await?;
        let mut labels = by_asset(store::labels(context.db.reader(), name, &rows).await?);
        let with_labels = |asset: Frozen| {
            let labels = labels.remove(&asset.name.asset).unwrap_or_default();
            ((asset.session.clone(), asset.path.clone()), wire(asset, kind, labels))
        };
        Ok(rows.into_iter().map(with_labels).collect())
    })
    .await
}
