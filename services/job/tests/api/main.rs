//! The Job service through its gRPC clients, on SQLite, and on PostgreSQL where there is one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at the first thing that is not as it should be"
)]

mod cancel;
mod catalog;
mod create;
mod leases;
mod logs;
mod metadata;
mod owners;
mod queue;
mod usage;
mod world;
