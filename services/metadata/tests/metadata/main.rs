//! The behaviour of the Metadata service, through its gRPC clients, on SQLite and, where GRANARY_TEST_POSTGRES says where one is, on
//! PostgreSQL too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod access;
mod assets;
mod audit;
mod bill;
mod database;
mod datasets;
mod events;
mod filters;
mod hostile;
mod keys;
mod labels;
mod limits;
mod members;
mod named;
mod owners;
mod paging;
mod paths;
mod recorded;
mod restore;
mod sessions;
mod snapshots;
mod tokens;
mod usage;
mod world;
