//! The storage service through its gRPC clients, and the transfers that use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test ends where it fails"
)]

mod copies;
mod downloads;
mod faults;
mod resume;
mod uploads;
mod world;
