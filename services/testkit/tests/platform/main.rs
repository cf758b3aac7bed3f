//! Whole platforms, as they are used and abused from outside.

mod access;
mod clients;
mod crowd;
mod foreign;
mod ledger;
mod oidc;
mod outages;
mod server;
