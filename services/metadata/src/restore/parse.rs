//! What manifests say, checked like what callers send: what is in a bucket is input.

use granary_core::{
    Error, Result,
    clock::to_micros,
    id,
    layout::DatasetKind,
    lineage,
    name::{DatasetName, ProjectName, SessionName},
    path,
};
use granary_proto::{
    convert::{self, report},
    metadata::v1::{
        Asset as WireAsset, AssetState as WireAssetState, Dataset as WireDataset,
        DatasetKind as WireKind, Project as WireProject, Session as WireSession,
        SessionState as WireSessionState,
    },
};
use granary_runtime::rpc::required;
use prost_types::Timestamp;

use crate::{
    check,
    state::{asset, session},
    store::{
        asset::Asset,
        attributes,
        dataset::{Dataset, Project},
        json,
        session::Session,
    },
};

fn micros(field: &str, time: Option<Timestamp>) -> Result<i64> {
    let time = required(field, time)?;
    convert::time(field, &time).map(to_micros)
}

pub(super) fn project(name: &ProjectName, wire: WireProject) -> Result<Project> {
    check::text("display_name", &wire.display_name, 256)?;
    Ok(Project {
        name: name.clone(),
        display_name: wire.display_name,
        created: micros("create_time", wire.create_time)?,
    })
}

pub(super) fn dataset(name: &DatasetName, wire: WireDataset) -> Result<Dataset> {
    check::text("display_name", &wire.display_name, 256)?;
    let kind = match wire.kind() {
        WireKind::Raw => DatasetKind::Raw,
        WireKind::Processed => DatasetKind::Processed,
        WireKind::Config => DatasetKind::Config,
        WireKind::Artifact => DatasetKind::Artifact,
        WireKind::Output => DatasetKind::Output,
        WireKind::Log => DatasetKind::Log,
        WireKind::Unspecified => return Err(Error::invalid("kind", "is required")),
    };
    Ok(Dataset {
        name: name.clone(),
        kind,
        display_name: wire.display_name,
        revision: 1,
        created: micros("create_time", wire.create_time)?,
        updated: micros("update_time", wire.update_time)?,
    })
}

/// The most that one upload may have, in bytes.
const MAX_SIZE: i64 = 5 << 40;

/// A closed session, without the numbers of its assets but for how many there should be.
pub(super) fn session(kind: DatasetKind, wire: WireSession) -> Result<Session> {
    let name = SessionName::parse(&wire.name).map_err(|error| error.within("name"))?;
    let state = closed(&wire)?;
    check_session(&name, &wire)?;
    let attributes = attributes::parse("attributes", wire.attributes)?;
    let errors = report(wire.errors);
    json::encode("errors", &errors)?;
    let ended = state != session::State::Completed;
    let finished = ended.then(|| micros("finish_time", wire.finish_time));
    // What it was opened with is not known any more; what pipelines learned may be among its attributes.
    let opened_with = id::digest(&[
        &json::encode("attributes", &attributes)?,
        &wire.metadata_path,
    ]);
    Ok(Session {
        kind,
        state,
        attributes,
        metadata_path: wire.metadata_path,
        derived_from: wire.derived_from,
        producer: wire.producer,
        errors,
        opened_with,
        asset_count: wire.asset_count,
        pending_count: 0,
        ready_count: 0,
        rejected_count: 0,
        size_bytes: 0,
        created: micros("create_time", wire.create_time)?,
        completed: Some(micros("complete_time", wire.complete_time)?),
        finished: finished.transpose()?,
        name,
    })
}

fn closed(wire: &WireSession) -> Result<session::State> {
    match wire.state() {
        WireSessionState::Completed => Ok(session::State::Completed),
        WireSessionState::Processed => Ok(session::State::Processed),
        WireSessionState::Failed => Ok(session::State::Failed),
        WireSessionState::Open | WireSessionState::Unspecified => {
            let expected = "expected the state of a session that was completed";
            Err(Error::invalid("state", expected))
        }
    }
}

fn check_session(name: &SessionName, wire: &WireSession) -> Result<()> {
    if !wire.metadata_path.is_empty() {
        let wrong = |_| Error::invalid("metadata_path", "expected the path of a file");
        path::check(&wire.metadata_path).map_err(wrong)?;
    }
    let origin = |text: &str| lineage::origin(text, &name.project);
    check::names("derived_from", &wire.derived_from, 1000, origin)?;
    lineage::producer(&wire.producer, &name.project).map_err(|error| error.within("producer"))
}

/// An asset of a closed session: its bytes are there.
pub(super) fn asset(session: &Session, wire: WireAsset) -> Result<Asset> {
    path::check(&wire.path)?;
    let state = arrived(&wire)?;
    check_asset(&session.name.project, &wire)?;
    let errors = report(wire.errors);
    json::encode("errors", &errors)?;
    Ok(Asset {
        name: session.name.asset(&wire.path),
        kind: session.kind,
        session: session.name.session.clone(),
        path: wire.path,
        media_type: wire.media_type,
        size_bytes: wire.size_bytes,
        sha256: wire.sha256,
        state,
        attributes: attributes::parse("attributes", wire.attributes)?,
        errors,
        derived_from: wire.derived_from,
        producer: wire.producer,
        created: micros("create_time", wire.create_time)?,
        updated: micros("update_time", wire.update_time)?,
    })
}

fn arrived(wire: &WireAsset) -> Result<asset::State> {
    match wire.state() {
        WireAssetState::Uploaded => Ok(asset::State::Uploaded),
        WireAssetState::Validating => Ok(asset::State::Validating),
        WireAssetState::Ready => Ok(asset::State::Ready),
        WireAssetState::Rejected => Ok(asset::State::Rejected),
        WireAssetState::Pending | WireAssetState::Unspecified => {
            let expected = "expected the state of an asset whose bytes are there";
            Err(Error::invalid("state", expected))
        }
    }
}

fn check_asset(project: &str, wire: &WireAsset) -> Result<()> {
    if !(0..=MAX_SIZE).contains(&wire.size_bytes) {
        return Err(Error::invalid("size_bytes", "expected 0 to 5 TiB"));
    }
    if !id::is_sha256(&wire.sha256) {
        return Err(Error::invalid("sha256", "expected 64 of 0-9 and a-f"));
    }
    if wire.media_type.is_empty() {
        return Err(Error::invalid("media_type", "is required"));
    }
    check::text("media_type", &wire.media_type, 255)?;
    let source = |text: &str| lineage::source(text, project);
    check::names("derived_from", &wire.derived_from, 100, source)?;
    lineage::producer(&wire.producer, project).map_err(|error| error.within("producer"))
}
