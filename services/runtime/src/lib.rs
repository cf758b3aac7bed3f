//! What every service stands on: configuration values, database, token checks, tasks, object reading, the server with its layers.
//!
//! Nothing here is global, and nothing but the command's configuration loader reads the environment.

pub mod auth;
pub mod batch;
pub mod db;
mod doubtful;
pub mod ledger;
pub mod link;
pub mod metrics;
pub mod objects;
pub mod outbound;
mod preface;
pub mod replicas;
pub mod rpc;
pub mod secret;
pub mod server;
mod spanned;
pub mod task;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use link::Link;

/// Installs the one TLS provider of the process; the first call counts, later ones do nothing.
pub fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
