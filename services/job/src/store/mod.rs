//! Tables and queries.

pub(crate) mod attempts;
pub(crate) mod catalog;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod usage;
pub(crate) mod workers;
