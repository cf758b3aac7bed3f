//! The one program: `granary serve`, the composition root of the platform, and the command that people use.

pub mod cli;
pub mod paths;
pub mod serve;

mod catalog;
mod client;
mod config;
mod environment;
mod failure;
mod folder;
mod human;
mod ingest;
mod ingress;
mod key;
mod logging;
mod login;
mod names;
mod output;
mod page;
mod reach;
mod refs;
mod reindex;
mod retry;
mod settings;
mod show;
mod signals;
mod traced;
mod wait;
mod yaml;
