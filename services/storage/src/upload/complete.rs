//! Confirming uploads: the store is asked for each object, the metadata service told once, the rows marked once.
//!
//! A crash leaves a prefix of these steps done. Each finds the earlier ones done when the client asks again: an object that was put together
//! is found by its key, an asset that is recorded stays so, a row that is marked needs nothing.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use granary_core::{
    Error, Result,
    name::{DatasetName, UploadName},
    parts::SINGLE,
};
use granary_runtime::metrics::{counter, names};
use sha2::{Digest as _, Sha256};

use super::assemble::Whole;
use crate::{
    Core,
    s3::Head,
    store::{Row, State},
};

impl Core {
    /// Confirms uploads of one dataset; a result for each, in order.
    pub(crate) async fn complete_uploads(
        &self,
        dataset: &DatasetName,
        names: &[UploadName],
    ) -> Result<Vec<Result<()>>> {
        self.s3.reach().check()?;
        let rows = self.store.load(names.to_vec()).await?;
        let checks: Vec<_> = rows
            .iter()
            .zip(names)
            .map(|(row, name)| self.settled(row.as_ref(), name))
            .collect();
        let mut results: Vec<Result<()>> = stream::iter(checks).buffered(64).collect().await;
        let good: Vec<usize> = (0..results.len())
            .filter(|index| results.get(*index).is_some_and(Result::is_ok))
            .filter(|index| {
                rows.get(*index)
                    .is_some_and(|row| row.as_ref().is_some_and(|row| row.state == State::Active))
            })
            .collect();
        let confirmed: Vec<&Row> = good
            .iter()
            .filter_map(|index| rows.get(*index)?.as_ref())
            .collect();
        let recorded = self.record(dataset, confirmed).await?;
        for (index, result) in good.into_iter().zip(recorded) {
            if let Some(place) = results.get_mut(index) {
                *place = result;
            }
        }
        Ok(results)
    }

    /// Confirms one upload whose object is there.
    pub(super) async fn confirm_one(&self, row: &Row) -> Result<()> {
        if row.state == State::Completed {
            return Ok(());
        }
        self.verify(row, &Whole::default()).await?;
        self.record(&row.name.parent(), vec![row])
            .await?
            .into_iter()
            .collect()
    }

    /// Tells the metadata service, then marks the rows of those that it took.
    async fn record(&self, dataset: &DatasetName, rows: Vec<&Row>) -> Result<Vec<Result<()>>> {
        let stored: Vec<_> = rows.iter().map(|row| row.stored()).collect();
        let results = self.metadata.stored(&dataset.parent(), &stored).await?;
        let taken = rows.into_iter().zip(&results);
        let taken: Vec<&Row> = taken
            .filter(|(_, result)| result.is_ok())
            .map(|(row, _)| row)
            .collect();
        counter!(names::UPLOADS, "outcome" => "completed").increment(taken.len() as u64);
        counter!(names::UPLOAD_BYTES).increment(taken.iter().map(|row| row.size).sum());
        let taken = taken.into_iter().map(|row| row.name.clone()).collect();
        self.store.finish(taken).await?;
        Ok(results)
    }

    async fn settled(&self, row: Option<&Row>, name: &UploadName) -> Result<()> {
        match row {
            None => Err(Error::not_found(name)),
            Some(row) if row.state == State::Completed => Ok(()),
            Some(row) => self.arrived(row).await,
        }
    }

    /// Whether all bytes of an upload are in the store, and are the declared ones.
    async fn arrived(&self, row: &Row) -> Result<()> {
        let Some(multipart) = &row.multipart else {
            return self.verify(row, &Whole::default()).await;
        };
        let assembled = self.assemble(row, multipart).await?;
        self.verify(row, &assembled).await?;
        // Where parts that are left over cannot be dropped now, the store's own rules for old uploads do it.
        if assembled.left_over
            && let Err(error) = self.s3.abort(&row.place, multipart).await
        {
            tracing::debug!(%error, upload = %row.name, "parts were left");
        }
        Ok(())
    }

    /// Compares the object with what was declared, and with the checksum of its parts if that is known. One that differs is removed,
    /// so that the right one can be sent.
    pub(super) async fn verify(&self, row: &Row, whole: &Whole) -> Result<()> {
        let Some(head) = self.s3.head(&row.place).await? else {
            return Err(Error::precondition(
                &row.name,
                "its bytes are not in the store: send them, then complete it",
            ));
        };
        let Some(differs) = self.difference(row, &head, whole).await? else {
            return Ok(());
        };
        tracing::warn!(upload = %row.name, %differs, "an object is not what was declared, and is removed");
        counter!(names::UPLOADS, "outcome" => "refused").increment(1);
        self.s3.delete(&row.place, head.etag.as_deref()).await?;
        Err(Error::DataLoss {
            resource: row.name.to_string(),
            reason: format!("{differs}; the object is removed, send it again"),
        })
    }

    async fn difference(&self, row: &Row, head: &Head, whole: &Whole) -> Result<Option<String>> {
        if head.size != row.size {
            return Ok(Some(format!(
                "the store has {} bytes where {} were declared",
                head.size, row.size
            )));
        }
        let other = || "the store has other bytes than were declared".to_owned();
        let sha256 = match &head.sha256 {
            Some(sha256) => sha256.clone(),
            // The store compared each part with its checksum, and an object that somebody else put there has another one, or none.
            None if row.size > SINGLE => {
                return Ok(whole.differs(head.crc32c.as_deref()).then(other));
            }
            // The store does not keep checksums, or somebody else wrote the object: it is small, so look.
            None => match self.s3.read(&row.place).await? {
                Some(bytes) => digest(bytes).await?,
                None => return Ok(Some("the object vanished".to_owned())),
            },
        };
        Ok((sha256 != row.sha256).then(other))
    }
}

async fn digest(bytes: Bytes) -> Result<String> {
    tokio::task::spawn_blocking(move || hex::encode(Sha256::digest(&bytes)))
        .await
        .map_err(|error| Error::internal("hashing an object", error))
}
