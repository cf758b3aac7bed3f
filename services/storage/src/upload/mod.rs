//! Uploads: declared, signed, sent by the client, confirmed.

mod assemble;
mod complete;
mod copy;
mod create;
mod declare;
mod parts;

use time::OffsetDateTime;

use granary_core::name::UploadName;

pub(crate) use copy::Copy;
#[cfg(test)]
pub(crate) use create::Opened;
pub(crate) use declare::Declared;
pub(crate) use parts::PartToSign;

use crate::{
    s3::{Part, Signed},
    store::State,
};

/// An upload as its client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) name: UploadName,
    pub(crate) path: String,
    pub(crate) state: State,
    /// For a small file that is still to be sent.
    pub(crate) put: Option<Signed>,
    /// Set for a file that is sent in parts, like the next two.
    pub(crate) part_size: Option<u64>,
    pub(crate) part_count: u16,
    pub(crate) parts: Vec<Part>,
    pub(crate) expires: Option<OffsetDateTime>,
}
