//! An object that lies on the disk, opened for reading.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    time::SystemTime,
};

use rustix::{fs::OFlags, io::Errno};
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    dto::{ETag, ETagCondition, Timestamp},
};

use crate::{
    attr::Attr,
    fault::{io_fault, no_such_bucket, no_such_key, precondition_failed},
    key::Place,
};

/// An object, opened: it stays readable whatever happens to its name.
pub(crate) struct Object {
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
    pub(crate) attr: Attr,
}

impl Object {
    /// Opens the object at a place. Only plain files are objects; symbolic links are not followed.
    pub(crate) fn open(place: &Place) -> S3Result<Self> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&place.path)
            .map_err(|error| absent(error, place))?;
        let metadata = file.metadata().map_err(io_fault("read the object"))?;
        if !metadata.is_file() {
            return Err(no_such_key());
        }
        let attr = Attr::of(&file).map_err(io_fault("read the attributes of the object"))?;
        Ok(Self {
            file,
            metadata,
            attr,
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.metadata.len()
    }

    /// Without quotes.
    pub(crate) fn etag(&self) -> String {
        self.attr.etag(&self.metadata)
    }

    pub(crate) fn modified(&self) -> Timestamp {
        modified(&self.metadata)
    }
}

/// When the bytes were written.
pub(crate) fn modified(metadata: &Metadata) -> Timestamp {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH).into()
}

fn absent(error: io::Error, place: &Place) -> S3Error {
    let no_file = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::LOOP,
        Errno::NXIO,
        Errno::ISDIR,
    ];
    match Errno::from_io_error(&error) {
        Some(errno) if no_file.contains(&errno) => {
            if place.bucket.is_dir() {
                no_such_key()
            } else {
                no_such_bucket()
            }
        }
        _ => io_fault("open the object")(error),
    }
}

/// The conditions of a read, by RFC 9110.
#[derive(Default)]
pub(crate) struct ReadIf {
    pub(crate) matches: Option<ETagCondition>,
    pub(crate) none_match: Option<ETagCondition>,
    pub(crate) modified_since: Option<Timestamp>,
    pub(crate) unmodified_since: Option<Timestamp>,
}

impl ReadIf {
    /// # Errors
    /// `PreconditionFailed`, or `NotModified` with the headers that a cache needs.
    pub(crate) fn check(&self, object: &Object) -> S3Result<()> {
        let tag = ETag::Strong(object.etag());
        let seconds = |time: &Timestamp| time::OffsetDateTime::from(time.clone()).unix_timestamp();
        let changed_after = |time: &Timestamp| seconds(&object.modified()) > seconds(time);
        let is = |condition: &ETagCondition| {
            condition.as_etag().is_none_or(|other| other.weak_cmp(&tag))
        };
        let refused = match (&self.matches, &self.unmodified_since) {
            (Some(condition), _) => !is(condition),
            (None, Some(time)) => changed_after(time),
            (None, None) => false,
        };
        if refused {
            return Err(precondition_failed());
        }
        let unchanged = match (&self.none_match, &self.modified_since) {
            (Some(condition), _) => is(condition),
            (None, Some(time)) => !changed_after(time),
            (None, None) => false,
        };
        if unchanged {
            Err(not_modified(&tag))
        } else {
            Ok(())
        }
    }
}

fn not_modified(tag: &ETag) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    if let Ok(value) = tag.to_http_header() {
        error.set_headers(http::HeaderMap::from_iter([(http::header::ETAG, value)]));
    }
    error
}
