//! Registering assets, many calls at once.

use granary_core::{
    Result,
    layout::DatasetKind,
    name::{AssetName, SessionName},
};
use granary_proto::convert::Report;
use granary_runtime::db;

use super::desk::Desk;
use crate::{
    Context,
    state::asset::State,
    store::{asset::Asset, attributes::Attributes},
};

/// An asset to register.
#[derive(Debug)]
pub(crate) struct NewAsset {
    pub path: String,
    pub media_type: String,
    pub size_bytes: i64,
    pub sha256: String,
    pub attributes: Attributes,
    pub derived_from: Vec<String>,
    pub producer: String,
}

/// Assets to register in one session, all or none.
#[derive(Debug)]
pub(crate) struct Registration {
    pub session: SessionName,
    pub assets: Vec<NewAsset>,
}

/// Registers assets in one transaction, with a result for each call.
pub(super) async fn register(
    context: Context,
    new: Vec<Registration>,
) -> Result<Vec<Result<Vec<Asset>>>> {
    let tx = context.db.begin().await?;
    let mut desk = Desk::read(&tx, &new, context.now()).await?;
    let results = new
        .into_iter()
        .map(|registration| desk.register(registration))
        .collect();
    desk.write(&tx).await?;
    db::commit(tx).await?;
    Ok(results)
}

impl NewAsset {
    pub(super) fn into_asset(
        self,
        name: AssetName,
        kind: DatasetKind,
        session: &SessionName,
        now: i64,
    ) -> Asset {
        Asset {
            name,
            kind,
            session: session.session.clone(),
            path: self.path,
            media_type: self.media_type,
            size_bytes: self.size_bytes,
            sha256: self.sha256,
            state: State::Pending,
            attributes: self.attributes,
            errors: Report::new(),
            derived_from: self.derived_from,
            producer: self.producer,
            created: now,
            updated: now,
        }
    }
}
