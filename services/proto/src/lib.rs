//! The generated code of the protos, and the one place where errors, times, values and names cross the wire.

pub mod convert;
pub mod json;
pub mod status;

#[allow(
    clippy::all,
    dead_code,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_imports,
    clippy::too_many_lines,
    unreachable_pub,
    missing_docs,
    rustdoc::all,
    reason = "generated"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/include.rs"));
}

pub use generated::granary::{identity, job, metadata, pipeline, storage};
pub use prost_reflect;

/// The encoded descriptors of all protos, with their comments: for reflection and for the ingress.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The largest message that any service takes or gives, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
