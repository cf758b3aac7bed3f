//! Whole jobs: the worker with the Job, Metadata and Storage services and the embedded object store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop at the first thing that is not as it should be"
)]

mod jobs;
mod refused;
mod world;
