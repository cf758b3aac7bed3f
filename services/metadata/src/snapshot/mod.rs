//! Snapshots.

mod create;

use std::collections::HashMap;

use granary_core::{
    Error, Result,
    layout::DatasetKind,
    name::{DatasetScope, SnapshotName},
};

pub(crate) use create::{NewSnapshot, create, sweep};

use crate::{
    Context, dataset,
    store::{
        frozen::{Frozen, Key as FrozenKey},
        label::Label,
        page::{self, Page},
        snapshot::{self as store, Key, Snapshot},
    },
};

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
