//! Requests about assets.

use granary_core::{
    Error, Result, id, lineage,
    name::{AssetName, ProjectName, SessionName, quote},
    path,
};
use granary_proto::{
    convert::report,
    metadata::v1::{
        Asset as WireAsset, AssetEvent as WireEvent, AssetStateUpdate, BatchCreateAssetsRequest,
        BatchGetAssetsRequest, BatchUpdateAssetStatesRequest,
    },
};
use granary_runtime::rpc::batch_size;

use super::super::name;
use crate::{
    asset::{Change, NewAsset, Registration, Update},
    check,
    state::asset::Event,
    store::{attributes, json},
};

/// The names of a batch, all of one project.
pub(super) fn names(request: &BatchGetAssetsRequest) -> Result<Vec<AssetName>> {
    let parent: ProjectName = name("parent", &request.parent)?;
    batch_size("names", request.names.len())?;
    let parse = |(i, text): (usize, &String)| of_project(&parent, &format!("names[{i}]"), text);
    request.names.iter().enumerate().map(parse).collect()
}

fn of_project(parent: &ProjectName, field: &str, text: &str) -> Result<AssetName> {
    let asset: AssetName = name(field, text)?;
    if asset.project != parent.project {
        return Err(Error::invalid(
            field,
            format!("expected an asset of {parent}, got {}", quote(text)),
        ));
    }
    Ok(asset)
}

pub(super) fn registration(request: BatchCreateAssetsRequest) -> Result<Registration> {
    let session: SessionName = name("parent", &request.parent)?;
    batch_size("assets", request.assets.len())?;
    let parse = |(i, asset)| {
        let at = format!("assets[{i}]");
        new_asset(asset, &session.project).map_err(|error: Error| error.within(&at))
    };
    let assets = request.assets.into_iter().enumerate().map(parse);
    Ok(Registration {
        assets: assets.collect::<Result<_>>()?,
        session,
    })
}

fn new_asset(asset: WireAsset, project: &str) -> Result<NewAsset> {
    path::check(&asset.path)?;
    if asset.size_bytes < 0 {
        return Err(Error::invalid(
            "size_bytes",
            format!("expected 0 or more, got {}", asset.size_bytes),
        ));
    }
    if !id::is_sha256(&asset.sha256) {
        return Err(not_sha256(&asset.sha256));
    }
    if asset.media_type.is_empty() {
        return Err(Error::invalid(
            "media_type",
            "is required, such as application/octet-stream",
        ));
    }
    check::text("media_type", &asset.media_type, 255)?;
    let source = |name: &str| lineage::source(name, project);
    check::names("derived_from", &asset.derived_from, 100, source)?;
    lineage::producer(&asset.producer, project).map_err(|error| error.within("producer"))?;
    Ok(NewAsset {
        path: asset.path,
        media_type: asset.media_type,
        size_bytes: asset.size_bytes,
        sha256: asset.sha256,
        attributes: attributes::parse("attributes", asset.attributes)?,
        derived_from: asset.derived_from,
        producer: asset.producer,
    })
}

fn not_sha256(got: &str) -> Error {
    Error::invalid(
        "sha256",
        format!("expected 64 of 0-9 and a-f, got {}", quote(got)),
    )
}

/// Changes, each parsed or with what is wrong with it.
pub(super) fn update(request: BatchUpdateAssetStatesRequest) -> Result<Update> {
    let parent: ProjectName = name("parent", &request.parent)?;
    batch_size("updates", request.updates.len())?;
    let parse = |(i, update)| {
        let at = format!("updates[{i}]");
        change(&parent, update).map_err(|error: Error| error.within(&at))
    };
    Ok(Update {
        changes: request.updates.into_iter().enumerate().map(parse).collect(),
    })
}

fn change(parent: &ProjectName, update: AssetStateUpdate) -> Result<Change> {
    let event = match WireEvent::try_from(update.event) {
        Ok(WireEvent::Stored) => Event::Stored,
        Ok(WireEvent::Checking) => Event::Checking,
        Ok(WireEvent::Accepted) => Event::Accepted,
        Ok(WireEvent::Refused) => Event::Refused,
        Ok(WireEvent::Unspecified) | Err(_) => {
            return Err(Error::invalid(
                "event",
                format!("expected an event, got {}", update.event),
            ));
        }
    };
    check::text("media_type", &update.media_type, 255)?;
    if !update.sha256.is_empty() && !id::is_sha256(&update.sha256) {
        return Err(not_sha256(&update.sha256));
    }
    let errors = report(update.errors);
    json::encode("errors", &errors)?;
    Ok(Change {
        name: of_project(parent, "name", &update.name)?,
        event,
        sha256: update.sha256,
        errors,
        attributes: attributes::parse("attributes", update.attributes)?,
        media_type: update.media_type,
    })
}
