//! The nouns of Granary and what they have in common: names, errors, values, filters, paging, time.
//!
//! Nothing in here knows a wire format or a database, so that every other crate can depend on it.

pub mod clock;
pub mod day;
pub mod error;
mod excerpt;
pub mod filter;
pub mod id;
pub mod job;
pub mod layout;
pub mod lineage;
pub mod media;
pub mod name;
pub mod page;
pub mod parts;
pub mod path;
pub mod sidecar;
pub mod suggest;
#[cfg(test)]
mod testing;
pub mod units;
pub mod value;

pub use error::{Error, Result, Violation};
