//! Sessions and assets as the steps see them: read once from Metadata, and handed from step to step.

use std::collections::BTreeMap;

use granary_core::{
    Error, Result,
    name::{AssetName, SessionName},
    value::Value,
};
use granary_proto::{
    convert,
    metadata::v1::{Asset, AssetState, Session, SessionState},
};

/// One asset.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) name: AssetName,
    pub(crate) path: String,
    /// As declared.
    pub(crate) media_type: String,
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) state: AssetState,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) uri: String,
}

impl Item {
    pub(crate) fn read(asset: Asset) -> Result<Self> {
        Ok(Self {
            name: AssetName::parse(&asset.name).map_err(odd)?,
            state: asset.state(),
            size: u64::try_from(asset.size_bytes).unwrap_or_default(),
            attributes: convert::attributes("attributes", asset.attributes).map_err(odd)?,
            path: asset.path,
            media_type: asset.media_type,
            sha256: asset.sha256,
            uri: asset.uri,
        })
    }
}

/// The session that a pipeline works on.
#[derive(Clone, Debug)]
pub(crate) struct SessionInfo {
    pub(crate) name: SessionName,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// The path of its file of metadata; empty if there is none.
    pub(crate) metadata_path: String,
    pub(crate) asset_count: i64,
    pub(crate) state: SessionState,
    pub(crate) uri: String,
}

impl SessionInfo {
    pub(crate) fn read(session: Session) -> Result<Self> {
        Ok(Self {
            name: SessionName::parse(&session.name).map_err(odd)?,
            state: session.state(),
            attributes: convert::attributes("attributes", session.attributes).map_err(odd)?,
            metadata_path: session.metadata_path,
            asset_count: session.asset_count,
            uri: session.uri,
        })
    }

    /// Whether its pipelines have had their say.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.state, SessionState::Processed | SessionState::Failed)
    }
}

// What another service answers is no fault of whoever called us.
fn odd(error: Error) -> Error {
    Error::internal("reading an answer of the metadata service", error)
}
