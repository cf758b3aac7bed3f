//! Telling Metadata what becomes of assets.

use granary_core::{Result, name::SessionName};
use granary_proto::{
    convert,
    metadata::v1::{AssetEvent, AssetState, AssetStateUpdate},
};

use super::{Engine, examine::Examined, failure::is_infrastructure, measures};
use crate::report;

/// How much one asset says about what is wrong with it, in bytes.
const MOST_ERRORS: usize = 64 << 10;
const REST: (&str, &str) = (
    "pipeline",
    "more is wrong with it: see the results of the runs",
);

/// Whether an asset has no verdict yet.
pub(super) fn is_open(state: AssetState) -> bool {
    matches!(state, AssetState::Uploaded | AssetState::Validating)
}

/// The verdict on an asset that was examined.
pub(super) fn verdict(examined: &Examined) -> AssetStateUpdate {
    let event = if examined.errors.is_empty() {
        AssetEvent::Accepted
    } else {
        AssetEvent::Refused
    };
    AssetStateUpdate {
        name: examined.item.name.to_string(),
        event: event as i32,
        errors: convert::wire_report(report::cut(&examined.errors, MOST_ERRORS, REST)),
        attributes: convert::wire_attributes(examined.attributes.clone()),
        media_type: examined.media_type.clone(),
        ..AssetStateUpdate::default()
    }
}

/// Applies events to assets. One that is refused was decided already, or the asset is gone: neither is a reason to stop.
pub(super) async fn apply(
    engine: &Engine,
    session: &SessionName,
    updates: Vec<AssetStateUpdate>,
) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    let outcomes: Vec<_> = updates.iter().map(measures::outcome).collect();
    let results = engine
        .remote
        .update_assets(&session.project, updates)
        .await?;
    for (result, outcome) in results.into_iter().zip(outcomes) {
        if let Some(outcome) = outcome.filter(|_| result.error.is_none()) {
            outcome.increment(1);
        }
        let Some(error) = result.error.map(granary_runtime::rpc::from_item) else {
            continue;
        };
        if is_infrastructure(&error) {
            return Err(error);
        }
        tracing::warn!(%session, %error, "an asset did not take its verdict");
    }
    Ok(())
}
