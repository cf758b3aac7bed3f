//! For tests: whole platforms that own their world, on every combination of real servers that is at hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "this crate is only ever part of tests: what goes wrong in it is the end of the test"
)]

mod backend;
mod issuer;
mod node;
pub mod pictures;
mod proxy;

pub use backend::{Backend, backends};
pub use issuer::{AUDIENCE, TestIssuer, TestKey};
pub use node::TestNode;
pub use proxy::Wire;
