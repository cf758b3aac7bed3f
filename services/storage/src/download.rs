//! Downloads: presigned reads of assets.

use granary_core::{
    Error, Result,
    name::{AssetName, ProjectName},
};
use granary_proto::metadata::v1::{Asset, AssetState};
use granary_runtime::metrics::{counter, names};
use time::OffsetDateTime;

use crate::{
    Core,
    s3::{Place, Signed},
};

/// A presigned read.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    pub(crate) asset: Asset,
    pub(crate) get: Signed,
    pub(crate) expires: OffsetDateTime,
}

impl Core {
    /// Signs the reading of assets of one project, in order.
    pub(crate) async fn create_downloads(
        &self,
        project: &ProjectName,
        names: &[AssetName],
    ) -> Result<Vec<Download>> {
        self.s3.reach().check()?;
        let assets = self.metadata.get(project, names).await?;
        let expires = self
            .clock
            .now()
            .saturating_add(self.read_expiry.try_into().unwrap_or(time::Duration::MAX));
        let sign = |asset: Asset| {
            if asset.state() == AssetState::Pending {
                return Err(Error::precondition(
                    &asset.name,
                    "its bytes are not there yet: complete its upload first",
                ));
            }
            let get = self
                .s3
                .sign_get(&Place::of_uri(&asset.uri)?, self.read_expiry)?;
            Ok(Download {
                asset,
                get,
                expires,
            })
        };
        let downloads: Vec<_> = assets.into_iter().map(sign).collect::<Result<_>>()?;
        counter!(names::DOWNLOADS_SIGNED).increment(downloads.len() as u64);
        Ok(downloads)
    }
}
