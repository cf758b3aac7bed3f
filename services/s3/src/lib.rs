//! An S3 endpoint over a local folder, so that the platform runs without an object store to install.
//!
//! It speaks the part of S3 that clients of files use (see [`Server`]): buckets, objects, ranges, conditions, copies,
//! listings, multipart uploads, checksums, presigned URLs. The protocol and its signatures are the crate `s3s`; this crate
//! is what lies behind.
//!
//! # Layout
//! ```text
//! ROOT/{bucket}/{key}            the bytes of an object, a plain file that anything can read
//! ROOT/.tmp/                     files that have no name yet; cleared at each start
//! ROOT/.multipart/{upload id}/   an upload in parts: `log`, `data`, and now and then a part in a file of its own
//! ```
//! A key is the path of its file, unescaped. So one of `a` and `a/b` can exist, not both; segments `.`, `..`
//! and empty ones are refused. What belongs to an object besides its bytes (entity tag, checksums, media type, user metadata)
//! is in one extended attribute of its file, `user.granary`, as JSON. A file without it, put there by hand, is an object too.
//!
//! # Durability
//! A write is answered when it survives a loss of power, and is never seen in part:
//! 1. The bytes go to a file in `.tmp`; their checksums are compared with those that the request carries.
//! 2. The attribute is set, then the file is synced.
//! 3. The folders of the key are made and synced, unless they are known to be durable.
//! 4. The file gets its name in one step, which fails if the request demands that nothing has that name and something has.
//! 5. The folder is synced, shared with whoever waits for the same one.
//!
//! A write that fails, for a wrong checksum, a connection that broke off or a full disk, leaves nothing behind. A part of a
//! multipart upload is answered when its bytes, then a line about it in the log, are synced; so an upload goes on where it was
//! after the process was killed. Parts are written where they belong in the object, which completing only names.
//!
//! # Security
//! Every request needs a Signature Version 4, in a header or a presigned URL. Every `x-amz-` header that could widen what a
//! request does has to be covered by it.

mod attr;
mod auth;
mod body;
mod checksum;
#[cfg(feature = "conformance")]
pub mod conformance;
mod disk;
mod error;
mod fault;
mod key;
mod multipart;
mod object;
mod ops;
mod server;
mod service;
mod store;
mod tail;
mod walk;

pub use self::{
    error::Error,
    server::{Options, Server},
    service::Service,
};
