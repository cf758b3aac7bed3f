//! Handlers: parse, call, convert.

mod convert;
mod download;
mod upload;

pub(crate) use download::Downloads;
pub(crate) use upload::Uploads;
