//! One upload as it is stored.

use granary_core::{Error, Result, name::UploadName};
use granary_runtime::db::sql;
use sea_orm::Value;

use crate::{metadata::Stored, s3::Place};

/// Where an upload is in its life. It only goes forward, until its asset is registered anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The client sends.
    Active,
    /// The bytes are confirmed.
    Completed,
}

impl State {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Active => 1,
            Self::Completed => 2,
        }
    }
}

/// One upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: UploadName,
    pub(crate) session: String,
    pub(crate) path: String,
    pub(crate) place: Place,
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) media_type: String,
    /// The store's id of the multipart upload, once there is one.
    pub(crate) multipart: Option<String>,
    /// The multipart upload of earlier content, which is to be aborted.
    pub(crate) replaced: Option<String>,
    /// Set for a file that is sent in parts.
    pub(crate) part_size: Option<u64>,
    pub(crate) state: State,
    /// Microseconds since 1970, like the next.
    pub(crate) created: i64,
    pub(crate) expires: i64,
}

pub(super) const COLUMNS: &str = "project, dataset, upload, session, path, bucket, object_key, size_bytes, sha256, media_type, multipart_id, replaced_id, part_size, state, create_time, expire_time";
pub(super) const COLUMN_COUNT: usize = 16;

impl Row {
    pub(super) fn values(&self) -> [Value; COLUMN_COUNT] {
        [
            self.name.project.as_str().into(),
            self.name.dataset.as_str().into(),
            self.name.upload.as_str().into(),
            self.session.as_str().into(),
            self.path.as_str().into(),
            self.place.bucket.as_str().into(),
            self.place.key.as_str().into(),
            signed(self.size).into(),
            self.sha256.as_str().into(),
            self.media_type.as_str().into(),
            self.multipart.clone().into(),
            self.replaced.clone().into(),
            self.part_size.map(signed).into(),
            self.state.code().into(),
            self.created.into(),
            self.expires.into(),
        ]
    }

    /// Reads the columns of [`COLUMNS`].
    pub(super) fn read(row: &mut sql::Row) -> Result<Self> {
        Ok(Self {
            name: UploadName::new(
                row.get::<String>()?,
                row.get::<String>()?,
                row.get::<String>()?,
            )?,
            session: row.get()?,
            path: row.get()?,
            place: Place {
                bucket: row.get()?,
                key: row.get()?,
            },
            size: unsigned(row.get()?)?,
            sha256: row.get()?,
            media_type: row.get()?,
            multipart: row.get()?,
            replaced: row.get()?,
            part_size: row.get::<Option<i64>>()?.map(unsigned).transpose()?,
            state: if row.get::<i64>()? == State::Completed.code() {
                State::Completed
            } else {
                State::Active
            },
            created: row.get()?,
            expires: row.get()?,
        })
    }

    /// As the metadata service is told that its bytes are there.
    pub(crate) fn stored(&self) -> Stored {
        Stored {
            name: self.name.asset(),
            sha256: self.sha256.clone(),
        }
    }

    /// How many parts it is sent in; 0 for one PUT.
    pub(crate) fn part_count(&self) -> u16 {
        let count = self
            .part_size
            .map_or(0, |part_size| self.size.div_ceil(part_size.max(1)));
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// The size of a part, numbered from 1, in bytes.
    pub(crate) fn size_of_part(&self, number: u16) -> u64 {
        let part_size = self.part_size.unwrap_or_default();
        let before = part_size.saturating_mul(u64::from(number.saturating_sub(1)));
        self.size.saturating_sub(before).min(part_size)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|error| Error::internal("reading an upload", error))
}
