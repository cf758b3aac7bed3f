//! Handlers: parse, call, convert.

pub(crate) mod application;
pub(crate) mod job;
pub(crate) mod worker;
