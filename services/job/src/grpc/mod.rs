//! Handlers: parse, call, convert.

pub(crate) mod application;
mod batch;
pub(crate) mod job;
pub(crate) mod worker;
