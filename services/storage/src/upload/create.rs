//! Beginning uploads, and going on with them.
//!
//! Repeating is resuming: the asset's id follows from its path, so the same rows are met, and the store is asked what it has.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use granary_core::{
    Error, Result,
    clock::{from_micros, to_micros},
    name::{AssetName, SessionName, UploadName},
    parts,
};
use granary_proto::metadata::v1::{Asset, AssetState};
use time::Duration;

use super::{Declared, Upload};
use crate::{
    Core,
    s3::{Part, Place},
    store::{Row, State, Swap},
};

/// How long an upload may be gone on with after the last call that began it.
const KEEP: Duration = Duration::days(7);

/// What a multipart upload is found to be.
pub(crate) enum Opened {
    /// In progress; the store has these parts.
    Parts(Row, Vec<Part>),
    /// Nothing is left to send: an object of its size is there, not yet compared with what was declared, or it is confirmed already.
    Present(Row),
}

impl Core {
    /// Begins uploads, or goes on with them; in the order of what was declared.
    pub(crate) async fn create_uploads(
        &self,
        session: &SessionName,
        declared: Vec<Declared>,
    ) -> Result<Vec<Upload>> {
        self.s3.reach().check()?;
        let assets = self
            .metadata
            .register(session, declared.iter().map(Declared::asset).collect())
            .await?;
        let mut rows = Vec::new();
        for (file, asset) in declared.iter().zip(&assets) {
            if asset.state() == AssetState::Pending {
                rows.push(self.row(session, file, asset)?);
            }
        }
        let mut saved = self.store.save(rows).await?.into_iter();
        let uploads = assets.iter().map(|asset| match asset.state() {
            AssetState::Pending => Ok(Err(saved
                .next()
                .ok_or_else(|| Error::internal("saving uploads", "not one row for each"))?)),
            _ => Ok(Ok(completed(asset)?)),
        });
        let uploads: Vec<Result<Upload, Row>> = uploads.collect::<Result<_>>()?;
        stream::iter(uploads)
            .map(|upload| async {
                match upload {
                    Ok(upload) => Ok(upload),
                    Err(row) => self.resume(row).await,
                }
            })
            .buffered(32)
            .try_collect()
            .await
    }

    /// Finds an upload.
    pub(crate) async fn get_upload(&self, name: &UploadName) -> Result<Upload> {
        let row = self
            .store
            .find(name)
            .await?
            .ok_or_else(|| Error::not_found(name))?;
        match row.state {
            State::Completed => Ok(view(row, vec![])),
            State::Active => self.resume(row).await,
        }
    }

    pub(super) fn row(&self, session: &SessionName, file: &Declared, asset: &Asset) -> Result<Row> {
        let now = self.clock.now();
        Ok(Row {
            name: AssetName::parse(&asset.name)?.upload(),
            session: session.session.clone(),
            path: file.path.clone(),
            place: Place::of_uri(&asset.uri)?,
            size: file.size,
            sha256: file.sha256.clone(),
            media_type: file.media_type.clone(),
            multipart: None,
            replaced: None,
            part_size: parts::part_size(file.size),
            state: State::Active,
            created: to_micros(now),
            expires: to_micros(now.saturating_add(KEEP)),
        })
    }

    /// Drops what was sent of the content that was declared before. Should it fail, the next call or the sweep does it.
    async fn drop_replaced(&self, row: &Row) {
        let Some(id) = &row.replaced else { return };
        let dropped = async {
            self.s3.abort(&row.place, id).await?;
            self.store.aborted(&row.name, id).await
        };
        if let Err(error) = dropped.await {
            tracing::debug!(%error, upload = %row.name, "parts of earlier content were left");
        }
    }

    /// An upload with what its client needs to go on.
    async fn resume(&self, row: Row) -> Result<Upload> {
        self.drop_replaced(&row).await;
        if row.part_size.is_some() {
            return match self.open_multipart(row).await? {
                Opened::Parts(row, parts) => Ok(view(row, parts)),
                Opened::Present(row) => {
                    self.confirm_one(&row).await?;
                    Ok(view(
                        Row {
                            state: State::Completed,
                            ..row
                        },
                        vec![],
                    ))
                }
            };
        }
        let put = self.s3.sign_put(
            &row.place,
            row.size,
            &row.sha256,
            &row.media_type,
            self.write_expiry,
        )?;
        let expires = self
            .clock
            .now()
            .saturating_add(self.write_expiry.try_into().unwrap_or(Duration::MAX));
        Ok(Upload {
            put: Some(put),
            expires: Some(expires),
            ..view(row, vec![])
        })
    }

    /// The multipart upload of a large file: the one that is there, or a new one.
    pub(crate) async fn open_multipart(&self, mut row: Row) -> Result<Opened> {
        // Each round but the last meets somebody who does the same at the same time.
        for _ in 0..5 {
            if let Some(id) = &row.multipart {
                if let Some(parts) = self.s3.list_parts(&row.place, id).await? {
                    return Ok(Opened::Parts(row, parts));
                }
                // It was completed by a call that ended before it could say so, or dropped.
                if self
                    .s3
                    .head(&row.place)
                    .await?
                    .is_some_and(|head| head.size == row.size)
                {
                    return Ok(Opened::Present(row));
                }
            }
            let sha256 = Some(row.sha256.as_str());
            let new = self
                .s3
                .begin_multipart(&row.place, &row.media_type, sha256)
                .await?;
            let swap = Swap {
                name: row.name.clone(),
                old: row.multipart.clone(),
                new: new.clone(),
            };
            if self.store.swap(swap).await? {
                return Ok(Opened::Parts(
                    Row {
                        multipart: Some(new),
                        ..row
                    },
                    vec![],
                ));
            }
            self.s3.abort(&row.place, &new).await?;
            row = self
                .store
                .find(&row.name)
                .await?
                .ok_or_else(|| Error::not_found(&row.name))?;
            if row.state == State::Completed {
                return Ok(Opened::Present(row));
            }
        }
        Err(Error::unavailable(
            format!(
                "{} is being begun by several callers at once: try again",
                row.name
            ),
            "opening did not settle",
        ))
    }
}

fn view(row: Row, parts: Vec<Part>) -> Upload {
    Upload {
        part_count: row.part_count(),
        name: row.name,
        path: row.path,
        state: row.state,
        put: None,
        part_size: row.part_size,
        parts,
        expires: (row.state == State::Active).then(|| from_micros(row.expires)),
    }
}

/// An upload whose asset has its bytes.
fn completed(asset: &Asset) -> Result<Upload> {
    Ok(Upload {
        name: AssetName::parse(&asset.name)?.upload(),
        path: asset.path.clone(),
        state: State::Completed,
        put: None,
        part_size: None,
        part_count: 0,
        parts: vec![],
        expires: None,
    })
}
