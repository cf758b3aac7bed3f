//! Writes the small manifests: those of projects and datasets.

use granary_core::{
    Error, Result,
    layout::{DatasetKind, dataset_manifest_key, project_manifest_key, split_uri},
    name::{DatasetName, ProjectName},
};
use granary_proto::json::to_json;
use serde_json::Value;

use super::{
    FORMAT,
    write::{MEDIA_TYPE, ROUNDS},
};
use crate::{Core, s3::Place};

/// What a small manifest is about.
#[derive(Clone, Copy)]
enum Whole<'a> {
    Project(&'a ProjectName),
    Dataset(&'a DatasetName),
}

impl Core {
    /// Writes the manifest of a project, over the one before.
    pub(super) async fn write_project(&self, name: &ProjectName) -> Result<()> {
        let place = Place {
            bucket: self.layout.bucket(DatasetKind::Raw),
            key: project_manifest_key(name),
        };
        self.write_whole(&place, Whole::Project(name)).await
    }

    /// Writes the manifest of a dataset, over the one before.
    pub(super) async fn write_dataset(&self, name: &DatasetName) -> Result<()> {
        let uri = self.metadata.dataset(name).await?.uri;
        let place = Place {
            bucket: split_uri(&uri)?.0.to_owned(),
            key: dataset_manifest_key(name),
        };
        self.write_whole(&place, Whole::Dataset(name)).await
    }

    async fn text(&self, whole: Whole<'_>) -> Result<String> {
        match whole {
            Whole::Project(name) => {
                let project = self.metadata.project(name).await?;
                Ok(document("project", to_json(&project)?))
            }
            Whole::Dataset(name) => {
                let mut dataset = self.metadata.dataset(name).await?;
                // It is of this index alone.
                dataset.etag.clear();
                Ok(document("dataset", to_json(&dataset)?))
            }
        }
    }

    async fn write_whole(&self, place: &Place, whole: Whole<'_>) -> Result<()> {
        for _ in 0..ROUNDS {
            // Before what goes into it is read: whatever is written from here on may be newer.
            let previous = self.s3.head(place).await?.and_then(|head| head.etag);
            let body = self.text(whole).await?.into();
            let previous = previous.as_deref();
            if self.s3.put(place, body, MEDIA_TYPE, previous).await? {
                return Ok(());
            }
        }
        Err(Error::unavailable(
            "a manifest is being written by several servers at once: try again",
            place.key.clone(),
        ))
    }
}

fn document(noun: &str, json: Value) -> String {
    format!("{{\"format\":{FORMAT},\"{noun}\":{json}}}\n")
}
