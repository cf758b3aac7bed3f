//! What belongs to an object besides its bytes, kept in one extended attribute of its file.
//!
//! The attribute is set on the temporary file before that gets its final name, so bytes and attribute appear together.
//! It is kept short on purpose: some 70 bytes fit into the inode itself on ext4, more takes another block.

use std::{
    collections::BTreeMap, fs, io, os::fd::AsFd, os::unix::fs::MetadataExt as _, path::Path,
};

use rustix::{buffer::spare_capacity, fs::XattrFlags, io::Errno};
use s3s::{S3ErrorCode, S3Result};
use serde::{Deserialize, Serialize};

use crate::{checksum::Sums, fault::fault};

/// The name of the attribute.
const NAME: &str = "user.granary";
/// Bytes of the attribute: ext4 has 4 KiB for all attributes of a file.
const MAX_BYTES: usize = 3_584;
/// Bytes of names and values of user metadata, as in S3.
const MAX_USER_BYTES: usize = 2_048;

/// What belongs to an object besides its bytes. Absent fields cost nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attr {
    /// Without quotes. Objects with a SHA-256 need none: see [`Attr::etag`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
    #[serde(flatten)]
    pub(crate) sums: Sums,
    /// Whether the checksums are those of the parts' checksums, not of the bytes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) composite: bool,
    #[serde(flatten)]
    pub(crate) headers: Headers,
    /// What the client sent as `x-amz-meta-*`.
    #[serde(rename = "meta", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) user: BTreeMap<String, String>,
}

/// Headers that are stored with an object and come back with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Headers {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<i64>,
}

impl Attr {
    /// Refuses what does not fit, before any byte of the object is read.
    pub(crate) fn check(&self) -> S3Result<()> {
        let user: usize = self
            .user
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if user > MAX_USER_BYTES {
            return Err(fault(
                S3ErrorCode::MetadataTooLarge,
                "user metadata has more than 2 KiB of names and values",
            ));
        }
        // Room for what is known only after the bytes: etag and checksums.
        if serde_json::to_vec(self).map_or(usize::MAX, |json| json.len()) > MAX_BYTES - 512 {
            return Err(fault(
                S3ErrorCode::MetadataTooLarge,
                "the headers kept with the object are too long together",
            ));
        }
        Ok(())
    }

    /// Sets the attribute of an open file. It is durable after the next fsync of the file.
    pub(crate) fn store(&self, file: impl AsFd) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        Ok(rustix::fs::fsetxattr(
            file,
            NAME,
            &json,
            XattrFlags::empty(),
        )?)
    }

    /// Reads the attribute of an open file; a file that came here by hand has none.
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        let mut json = Vec::with_capacity(MAX_BYTES);
        read(
            rustix::fs::fgetxattr(file, NAME, spare_capacity(&mut json)),
            &json,
        )
    }

    /// Reads the attribute of a file by its path.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let mut json = Vec::with_capacity(MAX_BYTES);
        read(
            rustix::fs::lgetxattr(path, NAME, spare_capacity(&mut json)),
            &json,
        )
    }

    /// The entity tag, without quotes. It holds a hyphen, so that no client takes it for the MD5 of the bytes,
    /// unless the client itself sent their MD5.
    pub(crate) fn etag(&self, file: &fs::Metadata) -> String {
        if let Some(etag) = &self.etag {
            return etag.clone();
        }
        // Put here by hand: any change of the file changes one of these.
        self.derived_etag().unwrap_or_else(|| {
            format!(
                "{:x}{:09x}{:x}-1",
                file.mtime(),
                file.mtime_nsec(),
                file.len()
            )
        })
    }

    /// The entity tag of an object whose SHA-256 is known: the start of it.
    pub(crate) fn derived_etag(&self) -> Option<String> {
        let digest = self.sums.sha256_bytes().filter(|_| !self.composite)?;
        Some(format!("{}-1", hex::encode(digest.get(..16)?)))
    }
}

fn read(result: Result<usize, Errno>, json: &[u8]) -> io::Result<Attr> {
    match result {
        // An attribute of a form that is not ours is no reason to withhold the bytes.
        Ok(_) => Ok(serde_json::from_slice(json).unwrap_or_default()),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(Attr::default()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_attributes_fit_into_an_inode() {
        let mut attr = Attr::default();
        attr.sums.sha256 = Some("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into());
        assert_eq!(
            serde_json::to_string(&attr).unwrap(),
            r#"{"sha256":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}"#
        );
    }

    #[test]
    fn attributes_come_back_as_stored() {
        let file = tempfile::tempfile().unwrap();
        let mut attr = Attr {
            etag: Some("x-1".into()),
            composite: true,
            ..Attr::default()
        };
        attr.user.insert("grüße".into(), "a\nb".into());
        attr.headers.content_type = Some("image/png".into());
        attr.store(&file).unwrap();
        assert_eq!(Attr::of(&file).unwrap(), attr);
    }

    #[test]
    fn a_file_without_attribute_has_defaults_and_a_tag_of_its_own() {
        let file = tempfile::tempfile().unwrap();
        let attr = Attr::of(&file).unwrap();
        assert_eq!(attr, Attr::default());
        assert!(attr.etag(&file.metadata().unwrap()).ends_with("-1"));
    }

    #[test]
    fn too_much_metadata_is_refused() {
        let mut attr = Attr::default();
        attr.user.insert("a".into(), "x".repeat(MAX_USER_BYTES));
        assert_eq!(
            attr.check().unwrap_err().code(),
            &S3ErrorCode::MetadataTooLarge
        );
    }
}
