//! Launchers: how a program comes to run, within its limits. What happens around it (inputs, outputs, leases) is the same for all of them.

mod contain;
mod process;
mod procfs;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use granary_core::Result;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use process::{ProcessLauncher, end_leftovers};

/// A program to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// The attempt's own folder; the program finds its files in `files` below it, and may write to `tmp`. Both exist.
    pub folder: PathBuf,
    /// The program and its arguments, executed as they are.
    pub arguments: Vec<String>,
    /// What it finds in its environment beside what the launcher sets: nothing of the worker's own.
    pub environment: BTreeMap<String, String>,
    /// The most memory that it and its children may use together, in bytes.
    pub memory_bytes: u64,
    /// The longest that it may run.
    pub timeout: Duration,
}

impl Program {
    /// What `/files` is to the program.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, which the launcher did not send.
    Signalled(i32),
    /// It ran longer than it may, and was stopped.
    TimedOut,
    /// It used more memory than it may, and was stopped.
    OutOfMemory,
    /// Somebody stopped it.
    Stopped,
}

/// What is known of a program that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How it ended.
    pub ending: Ending,
    /// The most memory that was seen in use, in bytes.
    pub peak_memory_bytes: u64,
}

/// Runs programs.
#[async_trait]
pub trait Launch: Send + Sync + std::fmt::Debug {
    /// Runs a program to its end. What it writes to standard output and error goes to `output`, in order; while nobody takes it from there, the
    /// program waits. When `stop` is cancelled it is asked to end, then killed. On return nothing of it runs any more; also when the call is dropped,
    /// everything of it is killed.
    ///
    /// Fails if the program could not be started.
    async fn run(
        &self,
        program: &Program,
        output: mpsc::Sender<Bytes>,
        stop: CancellationToken,
    ) -> Result<Exit>;
}
