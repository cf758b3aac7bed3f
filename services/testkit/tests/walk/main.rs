//! Who reaches what: every RPC with every role, and those who try what is not theirs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

mod attacks;
mod fields;
mod lockout;
mod malformed;
mod names;
mod roles;
mod workers;
mod world;
