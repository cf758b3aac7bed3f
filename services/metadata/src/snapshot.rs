//! Snapshots.

use std::collections::HashMap;

use granary_core::{
    Error, Result,
    filter::Filter,
    id,
    layout::DatasetKind,
    name::{DatasetScope, SnapshotName},
};
use granary_runtime::db;
use sea_orm::ConnectionTrait;
use sha2::{Digest as _, Sha256};

use crate::{
    Context, dataset,
    store::{
        dataset as datasets,
        frozen::{Content, Frozen, Key as FrozenKey},
        label::Label,
        page::{self, Page},
        query::Query,
        request,
        snapshot::{self as store, Key, Snapshot},
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

impl NewSnapshot {
    fn scope(&self) -> DatasetScope {
        DatasetScope {
            project: self.name.project.clone(),
            dataset: Some(self.name.dataset.clone()),
        }
    }
}

/// Freezes what matches now. What is frozen is copied in one short transaction and summed up after it, while others go on; the snapshot
/// itself comes last.
pub(crate) async fn create(context: &Context, new: NewSnapshot) -> Result<Snapshot> {
    let key = new
        .request
        .clone()
        .map(|id| (new.name.project.clone(), METHOD, id));
    let content = Content {
        dataset: new.name.parent(),
        id: id::new(""),
    };
    let tx = context.db.begin().await?;
    if let Some(found) = repeated(&tx, key.as_ref(), &new).await? {
        return Ok(found);
    }
    if datasets::dataset(&tx, &content.dataset).await?.is_none() {
        return Err(Error::not_found(&content.dataset));
    }
    if store::get(&tx, &new.name).await?.is_some() {
        return Err(Error::already_exists(&new.name, ""));
    }
    let query = Query::plan(&tx, new.scope(), new.filter.clone()).await?;
    if content.fill(&tx, &query).await? == 0 {
        let reason = "no READY asset of it matches the filter: wait for its sessions to be processed, or change the filter";
        return Err(Error::precondition(&content.dataset, reason));
    }
    db::commit(tx).await?;
    let published = publish(context, &content, new, key).await;
    if !matches!(&published, Ok(snapshot) if snapshot.content == content.id) {
        let tx = context.db.begin().await?;
        content.discard(&tx).await?;
        db::commit(tx).await?;
    }
    published
}

/// Makes the snapshot of what was frozen, unless somebody else was faster.
async fn publish(
    context: &Context,
    content: &Content,
    new: NewSnapshot,
    key: Option<request::Key>,
) -> Result<Snapshot> {
    let sum = sum_up(context, content).await?;
    let unit = Unit::begin(context).await?;
    if let Some(found) = repeated(&unit.tx, key.as_ref(), &new).await? {
        return Ok(found);
    }
    if store::get(&unit.tx, &new.name).await?.is_some() {
        return Err(Error::already_exists(&new.name, ""));
    }
    let snapshot = Snapshot {
        name: new.name,
        content: content.id.clone(),
        filter: new.text,
        digest: sum.digest,
        asset_count: sum.assets,
        label_count: sum.labels,
        size_bytes: sum.bytes,
        author: new.author,
        created: unit.now,
    };
    store::add(&unit.tx, &snapshot).await?;
    request::remember(
        &unit,
        key.map(|key| (key, snapshot.name.to_string())).as_slice(),
    )
    .await?;
    unit.emit(&snapshot.name.project, "snapshot.created", &snapshot.name);
    unit.commit(context).await?;
    Ok(snapshot)
}

/// What this request made when it came before.
async fn repeated(
    on: &impl ConnectionTrait,
    key: Option<&request::Key>,
    new: &NewSnapshot,
) -> Result<Option<Snapshot>> {
    let Some(key) = key else { return Ok(None) };
    let Some(resource) = request::answered(on, std::slice::from_ref(key))
        .await?
        .remove(key)
    else {
        return Ok(None);
    };
    let name = SnapshotName::parse(&resource)?;
    if name.dataset != new.name.dataset || (new.chosen && name != new.name) {
        return Err(request::reused(&key.2, &resource));
    }
    store::get(on, &name).await
}

struct Sum {
    digest: String,
    assets: i64,
    labels: i64,
    bytes: i64,
}

/// Counts and digests what was frozen: a line for each asset, and one for each of its labels.
async fn sum_up(context: &Context, content: &Content) -> Result<Sum> {
    let reader = context.db.reader();
    let (mut hash, mut last) = (Sha256::new(), None::<FrozenKey>);
    let mut sum = Sum {
        digest: String::new(),
        assets: 0,
        labels: 0,
        bytes: 0,
    };
    loop {
        let assets = content.assets(reader, last.as_ref(), 1000).await?;
        let Some(end) = assets.last() else { break };
        last = Some((end.session.clone(), end.path.clone()));
        let mut labels = by_asset(content.labels(reader, &assets).await?);
        for asset in &assets {
            sum.assets += 1;
            sum.bytes = sum.bytes.saturating_add(asset.size_bytes);
            hash.update(format!("{} {}\n", asset.name, asset.sha256));
            for label in labels.remove(&asset.name.asset).unwrap_or_default() {
                sum.labels += 1;
                hash.update(line(&label));
            }
        }
    }
    sum.digest = hex::encode(hash.finalize());
    Ok(sum)
}

fn line(label: &Label) -> String {
    let area = label.area.map_or_else(String::new, |a| {
        format!("{},{},{},{}", a.x, a.y, a.width, a.height)
    });
    format!(
        "{}@{}:{:?}:{area}\n",
        label.name.label, label.revision, label.class
    )
}

fn by_asset(labels: Vec<Label>) -> HashMap<String, Vec<Label>> {
    let mut found: HashMap<String, Vec<Label>> = HashMap::new();
    for label in labels {
        found
            .entry(label.name.asset.clone())
            .or_default()
            .push(label);
    }
    found
}

/// The snapshot.
pub(crate) async fn get(context: &Context, name: &SnapshotName) -> Result<Snapshot> {
    store::get(context.db.reader(), name)
        .await?
        .ok_or_else(|| Error::not_found(name))
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
        Ok(rows
            .into_iter()
            .map(|n| {
                (
                    (n.created, n.name.dataset.clone(), n.name.snapshot.clone()),
                    wire(n),
                )
            })
            .collect())
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
    let content = &get(context, name).await?.content();
    let kind = dataset::get(context, &name.parent()).await?.kind;
    let wire = &wire;
    page::read(
        size,
        last,
        move |last: Option<FrozenKey>, limit| async move {
            let rows = content
                .assets(context.db.reader(), last.as_ref(), limit)
                .await?;
            let mut labels = by_asset(content.labels(context.db.reader(), &rows).await?);
            let with_labels = |asset: Frozen| {
                let labels = labels.remove(&asset.name.asset).unwrap_or_default();
                (
                    (asset.session.clone(), asset.path.clone()),
                    wire(asset, kind, labels),
                )
            };
            Ok(rows.into_iter().map(with_labels).collect())
        },
    )
    .await
}
