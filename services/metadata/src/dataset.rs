//! Datasets.

use granary_core::{
    Error, Result,
    layout::DatasetKind,
    name::{DatasetName, ProjectName},
};

use crate::{
    Context,
    lane::Lane,
    project,
    store::{
        dataset::{self as store, Dataset},
        page::{self, Page},
        request,
        unit::Unit,
    },
};

const METHOD: &str = "CreateDataset";

/// A dataset to create.
pub(crate) struct NewDataset {
    pub name: DatasetName,
    pub kind: DatasetKind,
    pub display_name: String,
    pub request: Option<String>,
}

/// A change of a dataset.
pub(crate) struct Change {
    pub name: DatasetName,
    /// The new one, or none to leave it.
    pub display_name: Option<String>,
    /// What the caller believes it to be, or none: it cannot change.
    pub kind: Option<DatasetKind>,
    /// What the caller believes to be current, or empty.
    pub etag: String,
}

impl Dataset {
    /// Changes with each change.
    pub(crate) fn etag(&self) -> String {
        format!("{}-{}", self.revision, self.updated)
    }
}

/// Creates a dataset.
pub(crate) async fn create(lane: &Lane, new: NewDataset) -> Result<Dataset> {
    lane.write(move |unit| Box::pin(create_in(unit, new))).await
}

async fn create_in(unit: &Unit, new: NewDataset) -> Result<Dataset> {
    let name = new.name;
    let key = new.request.map(|id| (name.project.clone(), METHOD, id));
    if let Some(found) = request::earlier(unit, key.as_ref(), &name.to_string()).await? {
        let name = DatasetName::parse(&found)?;
        return store::dataset(&unit.tx, &name)
            .await?
            .ok_or_else(|| Error::not_found(&name));
    }
    if store::project(&unit.tx, &name.parent()).await?.is_none() {
        return Err(Error::not_found(name.parent()));
    }
    let (created, updated) = (unit.now, unit.now);
    let dataset = Dataset {
        name,
        kind: new.kind,
        display_name: new.display_name,
        revision: 1,
        created,
        updated,
    };
    if !store::insert_dataset(&unit.tx, &dataset).await? {
        return Err(Error::already_exists(&dataset.name, ""));
    }
    unit.emit(&dataset.name.project, "dataset.created", &dataset.name);
    request::remember(
        unit,
        key.map(|key| (key, dataset.name.to_string())).as_slice(),
    )
    .await?;
    Ok(dataset)
}

/// The dataset.
pub(crate) async fn get(context: &Context, name: &DatasetName) -> Result<Dataset> {
    store::dataset(context.db.reader(), name)
        .await?
        .ok_or_else(|| Error::not_found(name))
}

/// Fails unless the dataset is there.
pub(crate) async fn exists(context: &Context, project: &str, dataset: Option<&str>) -> Result<()> {
    match dataset {
        Some(dataset) => get(context, &DatasetName::new(project, dataset)?)
            .await
            .map(drop),
        None => project::get(context, &ProjectName::new(project)?)
            .await
            .map(drop),
    }
}

/// A page of the datasets of a project by name.
pub(crate) async fn list<M: prost::Message>(
    context: &Context,
    project: &ProjectName,
    size: u32,
    last: Option<String>,
    wire: impl Fn(Dataset) -> M,
) -> Result<Page<M, String>> {
    project::get(context, project).await?;
    let wire = &wire;
    page::read(size, last, move |last: Option<String>, limit| async move {
        let rows = store::datasets(
            context.db.reader(),
            project,
            last.as_deref().unwrap_or_default(),
            limit,
        )
        .await?;
        Ok(rows
            .into_iter()
            .map(|d| (d.name.dataset.clone(), wire(d)))
            .collect())
    })
    .await
}

/// Changes a dataset.
pub(crate) async fn update(lane: &Lane, change: Change) -> Result<Dataset> {
    lane.write(move |unit| Box::pin(update_in(unit, change)))
        .await
}

async fn update_in(unit: &Unit, change: Change) -> Result<Dataset> {
    let found = store::dataset(&unit.tx, &change.name).await?;
    let mut dataset = found.ok_or_else(|| Error::not_found(&change.name))?;
    if !change.etag.is_empty() && change.etag != dataset.etag() {
        return Err(Error::Aborted {
            resource: dataset.name.to_string(),
            reason: "the etag is no longer current".into(),
        });
    }
    if change.kind.is_some_and(|kind| kind != dataset.kind) {
        return Err(Error::invalid(
            "dataset.kind",
            format!("it is {} and cannot change", dataset.kind.as_str()),
        ));
    }
    let Some(display_name) = change
        .display_name
        .filter(|name| *name != dataset.display_name)
    else {
        return Ok(dataset);
    };
    dataset.display_name = display_name;
    dataset.revision += 1;
    dataset.updated = unit.now;
    store::update_dataset(&unit.tx, &dataset).await?;
    unit.emit(&dataset.name.project, "dataset.updated", &dataset.name);
    Ok(dataset)
}
