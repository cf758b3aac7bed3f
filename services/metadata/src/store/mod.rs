//! Tables and queries. Every query starts with a project: there is no other way to a row.

pub(crate) mod asset;
pub(crate) mod attributes;
pub(crate) mod dataset;
pub(crate) mod event;
pub(crate) mod filter;
pub(crate) mod frozen;
pub(crate) mod json;
pub(crate) mod label;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod request;
pub(crate) mod session;
pub(crate) mod snapshot;
pub(crate) mod unit;
