//! From the domain to the wire.

use granary_core::Result;
use granary_core::name::UploadName;
use granary_proto::{convert::timestamp, storage::v1 as wire};
use granary_runtime::rpc;

use crate::{
    download::Download,
    s3::{Part, Signed},
    store::State,
    upload::Upload,
};

impl From<Signed> for wire::SignedRequest {
    fn from(signed: Signed) -> Self {
        Self {
            method: signed.method.to_owned(),
            url: signed.url,
            headers: signed.headers,
        }
    }
}

impl From<State> for wire::UploadState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Completed => Self::Completed,
        }
    }
}

impl From<Part> for wire::UploadedPart {
    fn from(part: Part) -> Self {
        Self {
            number: part.number.into(),
            etag: part.etag,
            size_bytes: bytes(part.size),
        }
    }
}

impl From<Upload> for wire::Upload {
    fn from(upload: Upload) -> Self {
        Self {
            asset: upload.name.asset().to_string(),
            name: upload.name.to_string(),
            path: upload.path,
            state: wire::UploadState::from(upload.state).into(),
            put: upload.put.map(Into::into),
            part_size_bytes: upload.part_size.map_or(0, bytes),
            part_count: upload.part_count.into(),
            uploaded_parts: upload.parts.into_iter().map(Into::into).collect(),
            expire_time: upload.expires.map(timestamp),
        }
    }
}

impl From<Download> for wire::Download {
    fn from(download: Download) -> Self {
        Self {
            asset: download.asset.name,
            session: download.asset.session,
            path: download.asset.path,
            size_bytes: download.asset.size_bytes,
            sha256: download.asset.sha256,
            get: Some(download.get.into()),
            expire_time: Some(timestamp(download.expires)),
        }
    }
}

/// The result of one confirmation.
pub(super) fn result(name: &UploadName, result: Result<()>) -> wire::CompleteUploadResult {
    let state = if result.is_ok() {
        wire::UploadState::Completed
    } else {
        wire::UploadState::Active
    };
    wire::CompleteUploadResult {
        name: name.to_string(),
        state: state.into(),
        error: result.err().map(rpc::to_item),
    }
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
