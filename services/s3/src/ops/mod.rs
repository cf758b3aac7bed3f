//! Operations on buckets and whole objects.

pub(crate) mod bucket;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod put;
mod stream;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{S3Error, S3ErrorCode, S3Result, dto::EncodingType};

use crate::fault::fault;

/// What `encoding-type=url` leaves as it is. A space becomes `%20`, which every client reads, unlike `+`.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// How names are written in a listing: XML cannot carry every character, so clients may ask for percent-encoding.
#[derive(Clone, Copy)]
pub(crate) struct Encoding {
    url: bool,
}

impl Encoding {
    pub(crate) fn new(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(_) => Err(fault(
                S3ErrorCode::InvalidArgument,
                "encoding-type can only be url",
            )),
        }
    }

    pub(crate) fn write(self, name: impl Into<String>) -> String {
        let name = name.into();
        if self.url {
            utf8_percent_encode(&name, PLAIN).to_string()
        } else {
            name
        }
    }
}

/// The size of a page: what was asked for, at most 1,000.
pub(crate) fn page_size(asked: Option<i32>) -> S3Result<usize> {
    let size = usize::try_from(asked.unwrap_or(1_000)).map_err(|_| {
        fault(
            S3ErrorCode::InvalidArgument,
            "the size of a page cannot be negative",
        )
    })?;
    Ok(size.min(1_000))
}

/// As the other side of [`page_size`]: what a page says about itself.
pub(crate) fn as_count(size: usize) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

/// Bytes as the answers of S3 say them.
pub(crate) fn as_size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Refuses a version other than the only one that there is.
pub(crate) fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("" | "null") => Ok(()),
        Some(_) => Err(fault(
            S3ErrorCode::NoSuchVersion,
            "this store keeps one version of each object",
        )),
    }
}

pub(crate) fn not_supported(what: &'static str) -> S3Error {
    S3Error::with_message(
        S3ErrorCode::NotImplemented,
        format!("this store has no {what}"),
    )
}

/// Refuses what would be silently lost: encryption keys, locks, tags, redirects, other storage classes, public access.
macro_rules! refuse_unsupported {
    ($input:expr) => {{
        let input = &$input;
        let encrypted =
            input.sse_customer_algorithm.is_some() || input.server_side_encryption.is_some();
        let locked =
            input.object_lock_mode.is_some() || input.object_lock_legal_hold_status.is_some();
        let class = input
            .storage_class
            .as_ref()
            .map_or("STANDARD", |class| class.as_str());
        let acl = input.acl.as_ref().map_or("private", |acl| acl.as_str());
        let granted = input.grant_read.is_some() || input.grant_full_control.is_some();
        for (refused, what) in [
            (encrypted, "server-side encryption"),
            (locked, "object lock"),
            (input.tagging.is_some(), "tags"),
            (input.website_redirect_location.is_some(), "redirects"),
            (class != "STANDARD", "storage classes"),
            (
                granted || !matches!(acl, "private" | "bucket-owner-full-control"),
                "access lists: every request needs a signature",
            ),
        ] {
            if refused {
                return Err($crate::ops::not_supported(what));
            }
        }
    }};
}

/// The stored headers and user metadata of a request, moved out of it.
macro_rules! attr_of {
    ($input:expr) => {{
        let attr = $crate::attr::Attr {
            headers: $crate::attr::Headers {
                content_type: $input
                    .content_type
                    .take()
                    .filter(|kind| kind != $crate::ops::DEFAULT_TYPE),
                cache_control: $input.cache_control.take(),
                content_disposition: $input.content_disposition.take(),
                content_encoding: $input
                    .content_encoding
                    .take()
                    .and_then($crate::ops::lasting_encoding),
                content_language: $input.content_language.take(),
                expires: $input
                    .expires
                    .take()
                    .map(|time| time::OffsetDateTime::from(time).unix_timestamp()),
            },
            user: $input
                .metadata
                .take()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            ..$crate::attr::Attr::default()
        };
        attr.check()?;
        attr
    }};
}

pub(crate) use {attr_of, refuse_unsupported};

/// The media type of an object of which nobody said it, as in S3.
pub(crate) const DEFAULT_TYPE: &str = "binary/octet-stream";

/// `aws-chunked` describes the request, not the object.
pub(crate) fn lasting_encoding(encoding: String) -> Option<String> {
    let parts = encoding
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && *part != "aws-chunked");
    Some(parts.collect::<Vec<_>>().join(",")).filter(|lasting| !lasting.is_empty())
}
