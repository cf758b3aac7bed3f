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
mod front;
mod issuer;
mod node;
mod otlp;
pub mod pictures;
mod proxy;

pub use backend::{Backend, backends};
pub use front::Front;
pub use issuer::{AUDIENCE, TestIssuer, TestKey, signing_key};
pub use node::{TestNode, send};
pub use otlp::{Received, Receiver};
pub use proxy::Wire;
