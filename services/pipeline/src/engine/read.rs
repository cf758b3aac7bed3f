//! Reading what is wanted of an asset's bytes, and making sure that they are what was recorded.

use bytes::Bytes;
use granary_core::{Error, Result};
use granary_runtime::objects::ObjectReader;
use sha2::{Digest as _, Sha256};

use super::examine::Reading;
use crate::{
    content::{Content, MAX_WHOLE},
    item::Item,
    report::{self, Report},
};

/// Enough for the headers of nearly all images, and all of a small file.
const START: u64 = 64 << 10;
/// Where the search for an image's header ends: cameras put previews and profiles before it.
const LONG_START: u64 = 4 << 20;

/// Bytes as they came, or what is wrong with the object.
pub(crate) type Raw = std::result::Result<Bytes, Report>;

/// Reads what is wanted; none if that is nothing.
///
/// # Errors
/// Only if the store does not answer: that is no fault of the asset.
pub(crate) async fn read(
    objects: &ObjectReader,
    item: &Item,
    reading: Reading,
) -> Result<Option<Raw>> {
    let most = match reading {
        Reading::Nothing => return Ok(None),
        Reading::Start => START,
        Reading::All if item.size > MAX_WHOLE => LONG_START,
        // One more than there should be, so that an object that has grown is noticed.
        Reading::All => item.size + 1,
    };
    let raw = start(objects, item, most).await?;
    if let Ok(bytes) = &raw
        && Content::new(bytes.clone(), bytes.len() as u64 == item.size).wants_more()
        && most < LONG_START
    {
        return start(objects, item, LONG_START).await.map(Some);
    }
    Ok(Some(raw))
}

async fn start(objects: &ObjectReader, item: &Item, most: u64) -> Result<Raw> {
    let bytes = match objects.read_start(&item.uri, most).await {
        Ok(bytes) => bytes,
        Err(Error::NotFound { .. }) => {
            return Ok(Err(report::one(
                "content",
                "the object is missing in the store",
            )));
        }
        Err(other) => return Err(other),
    };
    let (got, expected) = (bytes.len() as u64, item.size);
    if got < expected.min(most) || got > expected {
        let got = if got > expected {
            "more".to_owned()
        } else {
            got.to_string()
        };
        return Ok(Err(report::one(
            "content",
            format!("expected {expected} bytes, the object has {got}"),
        )));
    }
    Ok(Ok(bytes))
}

/// Turns bytes into content; all of them must have the checksum of the record. Takes time in proportion to their number.
pub(crate) fn verify(item: &Item, raw: Raw) -> std::result::Result<Content, Report> {
    let bytes = raw?;
    let whole = bytes.len() as u64 == item.size;
    if whole {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        if sha256 != item.sha256 {
            return Err(report::one(
                "content",
                format!(
                    "expected the SHA-256 {}, the object has {sha256}",
                    item.sha256
                ),
            ));
        }
    }
    Ok(Content::new(bytes, whole))
}
