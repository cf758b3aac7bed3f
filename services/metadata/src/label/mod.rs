//! Labels.

mod create;

use granary_core::{
    Error, Result,
    name::{AssetName, DatasetName, LabelName},
    value::Value,
};
use granary_runtime::{
    batch::{Batcher, Limits},
    task::Tasks,
};

pub(crate) use create::NewLabel;

use crate::{
    Context, dataset,
    lane::Lane,
    store::{
        asset::{self as assets, Asset},
        label::{self as store, Area, Key, Label},
        page::{self, Page},
        unit::Unit,
    },
};

/// What can be done with labels.
#[derive(Clone)]
pub(crate) struct Labels {
    context: Context,
    lane: Lane,
    additions: Batcher<NewLabel, Label>,
}

/// A change of a label.
pub(crate) struct Change {
    pub name: LabelName,
    /// The new class, or none to leave it.
    pub class: Option<String>,
    /// The new box or its removal, or none to leave it.
    pub area: Option<Option<Area>>,
    /// What the caller believes to be the newest, or 0.
    pub revision: i64,
    pub author: String,
}

impl Labels {
    pub(crate) fn start(context: &Context, tasks: &Tasks, lane: &Lane) -> Self {
        let adding = context.clone();
        Self {
            context: context.clone(),
            lane: lane.clone(),
            additions: Batcher::start(
                tasks,
                "metadata: add labels",
                Limits::default(),
                move |new| create::add(adding.clone(), new),
            ),
        }
    }

    /// Adds a label.
    pub(crate) async fn create(&self, new: NewLabel) -> Result<Label> {
        self.additions.call(new).await
    }

    /// The label in its newest revision.
    pub(crate) async fn get(&self, name: &LabelName) -> Result<Label> {
        let found = store::get(self.context.db.reader(), std::slice::from_ref(name)).await?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| Error::not_found(name))
    }

    /// A page of the labels of an asset, or of all in a dataset, by asset and creation.
    pub(crate) async fn list<M: prost::Message>(
        &self,
        dataset: &DatasetName,
        asset: Option<&AssetName>,
        (size, last): (u32, Option<Key>),
        wire: impl Fn(Label) -> M,
    ) -> Result<Page<M, Key>> {
        let reader = self.context.db.reader();
        match asset {
            Some(name)
                if assets::get(reader, std::slice::from_ref(name))
                    .await?
                    .is_empty() =>
            {
                return Err(Error::not_found(name));
            }
            Some(_) => {}
            None => {
                dataset::exists(&self.context, &dataset.project, Some(&dataset.dataset)).await?
            }
        }
        let wire = &wire;
        page::read(size, last, move |last: Option<Key>, limit| async move {
            let rows = store::list(
                reader,
                dataset,
                asset.map(|a| a.asset.as_str()),
                last.as_ref(),
                limit,
            )
            .await?;
            Ok(rows
                .into_iter()
                .map(|l| {
                    (
                        (l.name.asset.clone(), l.created, l.name.label.clone()),
                        wire(l),
                    )
                })
                .collect())
        })
        .await
    }

    /// Makes a new revision.
    pub(crate) async fn update(&self, change: Change) -> Result<Label> {
        self.lane
            .write(move |unit| Box::pin(update(unit, change)))
            .await
    }

    /// Removes a label. Snapshots have their own copies.
    pub(crate) async fn delete(&self, name: LabelName) -> Result<()> {
        self.lane
            .write(move |unit| Box::pin(delete(unit, name)))
            .await
    }
}

async fn update(unit: &Unit, change: Change) -> Result<Label> {
    let found = store::get(&unit.tx, std::slice::from_ref(&change.name)).await?;
    let mut label = found
        .into_iter()
        .next()
        .ok_or_else(|| Error::not_found(&change.name))?;
    if change.revision != 0 && change.revision != label.revision {
        let reason = format!(
            "the newest revision is {}, not {}",
            label.revision, change.revision
        );
        return Err(Error::Aborted {
            resource: label.name.to_string(),
            reason,
        });
    }
    if let Some(Some(area)) = change.area {
        let of = assets::get(&unit.tx, &[label.name.parent()]).await?;
        fits(
            area,
            of.first()
                .ok_or_else(|| Error::not_found(label.name.parent()))?,
        )?;
    }
    label.class = change.class.unwrap_or(label.class);
    label.area = change.area.unwrap_or(label.area);
    label.author = change.author;
    label.revision += 1;
    label.updated = unit.now;
    store::update(&unit.tx, &label).await?;
    unit.emit(&label.name.project, "label.updated", &label.name);
    Ok(label)
}

async fn delete(unit: &Unit, name: LabelName) -> Result<()> {
    if !store::remove(&unit.tx, &name).await? {
        return Err(Error::not_found(&name));
    }
    unit.emit(&name.project, "label.deleted", &name);
    Ok(())
}

/// Checks that a box lies in the image, where the asset's attributes say how large that is.
fn fits(area: Area, asset: &Asset) -> Result<()> {
    let size = |key: &str| asset.attributes.get(key).and_then(Value::as_number);
    let (Some(width), Some(height)) = (size("width"), size("height")) else {
        return Ok(());
    };
    if area.x + area.width <= width && area.y + area.height <= height {
        return Ok(());
    }
    Err(Error::invalid(
        "label.box",
        format!(
            "expected a box within the image of {width} x {height} pixels, got one from ({}, {}) to ({}, {})",
            area.x,
            area.y,
            area.x + area.width,
            area.y + area.height
        ),
    ))
}
