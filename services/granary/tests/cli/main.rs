//! The real command against a real server.

mod accounting;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod keys;
mod login;
mod tls;
mod upload;
mod watch;
