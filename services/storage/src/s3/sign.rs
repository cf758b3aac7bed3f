//! Requests that clients make at the store, signed for them.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use granary_core::{Error, Result};
use rusty_s3::S3Action;

use super::{Client, Place};

/// A request that a client makes: whoever has the URL can make it until it expires.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// The one PUT of a whole file: only these bytes, and only if nothing is there.
    pub(crate) fn sign_put(
        &self,
        place: &Place,
        size: u64,
        sha256: &str,
        media_type: &str,
        expiry: Duration,
    ) -> Result<Signed> {
        let sum =
            hex::decode(sha256).map_err(|error| Error::internal("signing an upload", error))?;
        let headers = BTreeMap::from([
            ("content-length".to_owned(), size.to_string()),
            ("content-type".to_owned(), media_type.to_owned()),
            ("if-none-match".to_owned(), "*".to_owned()),
            ("x-amz-checksum-sha256".to_owned(), STANDARD.encode(sum)),
        ]);
        let bucket = self.public_bucket(&place.bucket)?;
        Ok(signed(
            bucket.put_object(Some(self.credentials()), &place.key),
            headers,
            expiry,
        ))
    }

    /// The PUT of one part: only these bytes. `crc32c` is 4 bytes big endian in base64.
    pub(crate) fn sign_part(
        &self,
        place: &Place,
        upload: &str,
        number: u16,
        size: u64,
        crc32c: &str,
        expiry: Duration,
    ) -> Result<Signed> {
        let headers = BTreeMap::from([
            ("content-length".to_owned(), size.to_string()),
            ("x-amz-checksum-crc32c".to_owned(), crc32c.to_owned()),
        ]);
        let bucket = self.public_bucket(&place.bucket)?;
        Ok(signed(
            bucket.upload_part(Some(self.credentials()), &place.key, number, upload),
            headers,
            expiry,
        ))
    }

    /// The GET of a file.
    pub(crate) fn sign_get(&self, place: &Place, expiry: Duration) -> Result<Signed> {
        let bucket = self.public_bucket(&place.bucket)?;
        Ok(signed(
            bucket.get_object(Some(self.credentials()), &place.key),
            BTreeMap::new(),
            expiry,
        ))
    }
}

fn signed<'a, A: S3Action<'a>>(
    mut action: A,
    headers: BTreeMap<String, String>,
    expiry: Duration,
) -> Signed {
    for (name, value) in &headers {
        action.headers_mut().insert(name.clone(), value.clone());
    }
    // S3 takes whole seconds, at least one.
    let url = action.sign(expiry.max(Duration::from_secs(1))).into();
    Signed {
        method: A::METHOD.to_str(),
        url,
        headers,
    }
}
