//! The service through its gRPC clients, beside a real metadata and storage service and an S3 store: on SQLite always, and on PostgreSQL
//! where `GRANARY_TEST_POSTGRES` names a server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code stops at the first thing that is not as it should be"
)]

mod cache;
mod definitions;
mod faults;
mod files;
mod reports;
mod restart;
mod runs;
mod verdicts;
mod world;
