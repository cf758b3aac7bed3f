//! Copies within the store: no bytes pass through here.
//!
//! Safe to repeat: an object that is at its target already, with the right size and checksum, counts as copied.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use granary_core::{
    Error, Result,
    error::Violations,
    lineage,
    name::{AssetName, SessionName},
    path,
    value::Value,
};
use granary_proto::{
    convert,
    metadata::v1::{Asset, AssetState},
    storage::v1::CopyRequest,
};
use granary_runtime::rpc;

use super::{
    Declared,
    assemble::Whole,
    create::Opened,
    declare::{producer, twice},
};
use crate::{
    Core,
    s3::{Copied, Place},
    store::Row,
};

/// The largest object that S3 copies in one request; larger ones are copied in parts.
const SINGLE_COPY: u64 = 5 << 30;

/// One copy to make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Copy {
    source: AssetName,
    path: String,
    producer: String,
    /// Beside those of the source.
    attributes: BTreeMap<String, Value>,
}

impl Copy {
    /// Checks a batch of copies into a session; the error names every field that is wrong.
    pub(crate) fn all(into: &SessionName, requests: Vec<CopyRequest>) -> Result<Vec<Self>> {
        rpc::batch_size("requests", requests.len())?;
        let (mut violations, mut paths) = (Violations::default(), HashSet::new());
        let mut all = Vec::with_capacity(requests.len());
        for (index, request) in requests.into_iter().enumerate() {
            let field = format!("requests[{index}]");
            if !paths.insert(request.path.clone()) {
                violations.add(format!("{field}.path"), twice(&request.path));
            }
            all.extend(
                violations.check(Self::one(into, request).map_err(|error| error.within(&field)))?,
            );
        }
        violations.finish()?;
        Ok(all)
    }

    fn one(into: &SessionName, request: CopyRequest) -> Result<Self> {
        let mut violations = Violations::default();
        let source = lineage::source(&request.source, &into.project);
        let source = violations.check(source.map_err(|error| error.within("source")))?;
        violations.check(path::check(&request.path))?;
        violations.check(producer(into, &request.producer))?;
        let attributes = violations.check(convert::attributes("attributes", request.attributes))?;
        violations.finish()?;
        let source = source.ok_or_else(|| Error::invalid("source", "is required"))?;
        Ok(Self {
            source,
            path: request.path,
            producer: request.producer,
            attributes: attributes.unwrap_or_default(),
        })
    }

    fn declared(&self, source: &Asset) -> Declared {
        Declared {
            path: self.path.clone(),
            size: u64::try_from(source.size_bytes).unwrap_or_default(),
            sha256: source.sha256.clone(),
            media_type: source.media_type.clone(),
            derived_from: vec![self.source.clone()],
            producer: self.producer.clone(),
        }
    }

    /// As the metadata service registers it.
    fn asset(&self, declared: &Declared, source: &Asset) -> Asset {
        let mut attributes = source.attributes.clone();
        attributes.extend(convert::wire_attributes(self.attributes.clone()));
        Asset {
            attributes,
            ..declared.asset()
        }
    }
}

impl Core {
    /// Copies assets into a session; the names of the new ones, in order.
    pub(crate) async fn copy_assets(
        &self,
        session: &SessionName,
        copies: &[Copy],
    ) -> Result<Vec<AssetName>> {
        self.s3.reach().check()?;
        let sources = self.sources(session, copies).await?;
        let (mut declared, mut assets) = (Vec::new(), Vec::new());
        for (copy, source) in copies.iter().zip(&sources) {
            let file = copy.declared(source);
            assets.push(copy.asset(&file, source));
            declared.push(file);
        }
        let assets = self.metadata.register(session, assets).await?;
        let mut pending = Vec::new();
        for ((file, source), asset) in declared.iter().zip(&sources).zip(&assets) {
            if asset.state() == AssetState::Pending {
                let from = Place::of_uri(&source.uri)?;
                pending.push((from, self.row(session, file, asset)?));
            }
        }
        let work: Vec<_> = pending
            .iter()
            .map(|(from, to)| self.copy(from, to))
            .collect();
        stream::iter(work)
            .buffer_unordered(32)
            .try_collect::<()>()
            .await?;
        let stored: Vec<_> = pending.iter().map(|(_, to)| to.stored()).collect();
        let project = session.parent().parent();
        let recorded = self.metadata.stored(&project, &stored).await?;
        recorded.into_iter().collect::<Result<()>>()?;
        let name = |asset: &Asset| AssetName::parse(&asset.name);
        assets.iter().map(name).collect()
    }

    /// What is copied; all of it is in the store.
    async fn sources(&self, session: &SessionName, copies: &[Copy]) -> Result<Vec<Asset>> {
        let names: Vec<AssetName> = copies.iter().map(|copy| copy.source.clone()).collect();
        let project = session.parent().parent();
        let sources = self.metadata.get(&project, &names).await?;
        for (name, source) in names.iter().zip(&sources) {
            if source.state() == AssetState::Pending {
                let reason = "its bytes are not there yet: complete its upload first";
                return Err(Error::precondition(name, reason));
            }
        }
        Ok(sources)
    }

    async fn copy(&self, from: &Place, row: &Row) -> Result<()> {
        if row.size > SINGLE_COPY {
            return self.copy_in_parts(from, row).await;
        }
        // Not every store looks at If-None-Match when it copies.
        if self.s3.head(&row.place).await?.is_some() {
            return self.verify(row, &Whole::default()).await;
        }
        match self.s3.copy(from, &row.place).await? {
            Copied::Done => Ok(()),
            Copied::Taken => self.verify(row, &Whole::default()).await,
            Copied::NoSource => Err(lost(row, from)),
        }
    }

    /// Copies a very large object in parts, which are kept as those of an upload are, so that a repeated call goes on where this one ended.
    async fn copy_in_parts(&self, from: &Place, row: &Row) -> Result<()> {
        let saved = self
            .store
            .save(vec![row.clone()])
            .await?
            .pop()
            .unwrap_or_else(|| row.clone());
        let (row, parts) = match self.open_multipart(saved).await? {
            Opened::Present(row) => return self.verify(&row, &Whole::default()).await,
            Opened::Parts(row, parts) => (row, parts),
        };
        let Some(multipart) = row.multipart.as_deref() else {
            return Err(lost(&row, from));
        };
        let missing = (1..=row.part_count()).filter(|number| {
            !parts
                .iter()
                .any(|part| part.number == *number && part.size == row.size_of_part(*number))
        });
        let work: Vec<_> = missing
            .map(|number| {
                let first = row.part_size.unwrap_or_default() * u64::from(number - 1);
                let last = first + row.size_of_part(number).max(1) - 1;
                self.s3
                    .copy_part(from, first, last, &row.place, multipart, number)
            })
            .collect();
        stream::iter(work)
            .buffer_unordered(8)
            .try_collect::<()>()
            .await?;
        let assembled = self.assemble(&row, multipart).await?;
        self.verify(&row, &assembled).await?;
        self.store.finish(vec![row.name.clone()]).await
    }
}

fn lost(row: &Row, from: &Place) -> Error {
    Error::DataLoss {
        resource: row.name.asset().to_string(),
        reason: format!(
            "the object s3://{}/{} that it is copied from is missing",
            from.bucket, from.key
        ),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::testing::{Bench, large};

    #[tokio::test]
    async fn very_large_objects_are_copied_in_parts_and_gone_on_with() {
        let bench = Bench::start().await;
        let core = &bench.core;
        let bytes = Bytes::from(
            (0..16_500_000u32)
                .map(|i| (i % 253) as u8)
                .collect::<Vec<_>>(),
        );
        let from = Place {
            bucket: "granary-raw".into(),
            key: "p/d/from/a b".into(),
        };
        core.s3
            .put(&from, bytes.clone(), "text/plain", None)
            .await
            .unwrap();
        let row = large("copy", bytes.len() as u64, 0);
        let saved = core.store.save(vec![row.clone()]).await.unwrap().remove(0);
        let Opened::Parts(opened, _) = core.open_multipart(saved).await.unwrap() else {
            panic!("it is there already")
        };
        core.s3
            .copy_part(
                &from,
                0,
                (8 << 20) - 1,
                &row.place,
                opened.multipart.as_deref().unwrap(),
                1,
            )
            .await
            .unwrap();
        for _ in 0..2 {
            core.copy_in_parts(&from, &row).await.unwrap();
            assert!(core.s3.read(&row.place).await.unwrap().unwrap() == bytes);
        }
    }
}
