//! Names of buckets and objects, checked once, and where they lie on the disk.
//!
//! A key is its own path: each segment is a file name, byte for byte. Nothing is escaped, because Linux forbids only `/` and
//! NUL in a name, and any escape would push names of 255 bytes over the limit. Services that see the folder read the file itself.

use std::path::{Path, PathBuf};

use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::fault::fault;

/// Bytes of a key in UTF-8, as in S3.
pub(crate) const MAX_KEY: usize = 1024;
/// Bytes of a segment: what a file name may have.
const MAX_SEGMENT: usize = 255;

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("the key is empty")]
    Empty,
    #[error("the key is longer than 1024 bytes")]
    TooLong,
    #[error("a segment of the key is longer than 255 bytes")]
    SegmentTooLong,
    #[error("the key starts with a slash: leave it out")]
    LeadingSlash,
    #[error(
        "the key ends with a slash: this store has no objects for folders, they exist while something lies in them"
    )]
    TrailingSlash,
    #[error("the key has two slashes in a row: every segment needs a name")]
    EmptySegment,
    #[error("a segment of the key is `.` or `..`: every segment needs a name of its own")]
    Relative,
    #[error("the key contains a NUL character")]
    Nul,
}

impl From<KeyFault> for S3Error {
    fn from(reason: KeyFault) -> Self {
        let code = match reason {
            KeyFault::TooLong | KeyFault::SegmentTooLong => S3ErrorCode::KeyTooLongError,
            _ => S3ErrorCode::InvalidArgument,
        };
        S3Error::with_message(code, reason.to_string())
    }
}

/// A key that can lie on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn parse(text: &str) -> Result<Self, KeyFault> {
        match text {
            "" => return Err(KeyFault::Empty),
            _ if text.len() > MAX_KEY => return Err(KeyFault::TooLong),
            _ if text.starts_with('/') => return Err(KeyFault::LeadingSlash),
            _ => {}
        }
        let body = text.strip_suffix('/').unwrap_or(text);
        body.split('/').try_for_each(check_segment)?;
        if body.len() < text.len() {
            return Err(KeyFault::TrailingSlash);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_segment(segment: &str) -> Result<(), KeyFault> {
    match segment {
        "" => Err(KeyFault::EmptySegment),
        "." | ".." => Err(KeyFault::Relative),
        _ if segment.len() > MAX_SEGMENT => Err(KeyFault::SegmentTooLong),
        _ if segment.contains('\0') => Err(KeyFault::Nul),
        _ => Ok(()),
    }
}

/// A bucket name by the rules of S3: 3 to 63 lower-case letters, digits, dots and hyphens. It never starts with a dot,
/// so the store's own folders cannot be taken for buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket(String);

impl Bucket {
    pub(crate) fn parse(name: &str) -> S3Result<Self> {
        if s3s::path::check_bucket_name(name) {
            return Ok(Self(name.to_owned()));
        }
        Err(fault(
            S3ErrorCode::InvalidBucketName,
            "a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens",
        ))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where one object lies, or would lie.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The folder of the bucket.
    pub(crate) bucket: PathBuf,
    /// The file of the object.
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new(root: &Path, bucket: &Bucket, key: &Key) -> Self {
        let bucket = root.join(bucket.as_str());
        Self {
            path: bucket.join(key.as_str()),
            bucket,
        }
    }

    /// The folder in which the file lies.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_keys_are_refused_with_their_reason() {
        for (text, reason) in [
            ("", KeyFault::Empty),
            ("/etc/passwd", KeyFault::LeadingSlash),
            ("a//b", KeyFault::EmptySegment),
            ("a/", KeyFault::TrailingSlash),
            ("a//", KeyFault::EmptySegment),
            ("..", KeyFault::Relative),
            ("a/../b", KeyFault::Relative),
            ("a/./b", KeyFault::Relative),
            ("../", KeyFault::Relative),
            ("a\0b", KeyFault::Nul),
            (&"x".repeat(256), KeyFault::SegmentTooLong),
            (&"x/".repeat(600), KeyFault::TooLong),
        ] {
            assert_eq!(Key::parse(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn strange_but_harmless_keys_lie_under_their_own_name() {
        let root = Path::new("/root");
        for key in [
            "a b",
            "a\nb",
            "ä",
            "a\u{308}",
            "50%",
            "%2e%2e",
            "...",
            "a\\b",
            "C:",
            &"ü".repeat(127),
        ] {
            let bucket = Bucket::parse("raw-1").unwrap();
            let place = Place::new(root, &bucket, &Key::parse(key).unwrap());
            assert_eq!(place.path, root.join("raw-1").join(key), "{key:?}");
        }
    }

    #[test]
    fn folders_of_the_store_are_no_buckets() {
        for name in [".tmp", ".multipart", "..", "a", "Upper", "a/b"] {
            assert!(Bucket::parse(name).is_err(), "{name}");
        }
    }
}
