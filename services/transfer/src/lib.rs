//! Sending files to the store and fetching them, by presigned URLs: what the command, the workers and the pipelines use.
//!
//! Everything can be interrupted and done again: what has arrived is not sent twice, what is on the disk is not fetched twice. Passing
//! failures (a server that restarts, a connection that breaks, a URL that expired) are outlived; what cannot be outlived is an error that
//! names the file, and never a URL, since whoever has one can use it.

mod batches;
mod download;
mod hash;
mod http;
mod local;
mod progress;
mod retry;
mod upload;

use std::path::PathBuf;

use bytes::Bytes;

pub use download::{DownloadOptions, Downloaded, Downloader, Wanted};
pub use progress::{NoProgress, Progress};
pub use upload::{UploadOptions, Uploaded, Uploader};

/// Where the bytes of a file to send are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file, which is read while it is sent and must not change.
    File(PathBuf),
    /// In memory.
    Bytes(Bytes),
}

/// A file to send.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its path within the session.
    pub path: String,
    /// Its bytes.
    pub source: Source,
    /// Its media type; guessed from the path if empty.
    pub media_type: String,
    /// What it was made from: names of assets, at most 100.
    pub derived_from: Vec<String>,
    /// The run or the job that made it; empty for an upload by people.
    pub producer: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    // Workers and pipelines move files within tasks.
    #[test]
    fn transfers_can_be_part_of_a_task() {
        fn sendable<T: Send>(_: T) {}
        let _upload = |uploader: &Uploader, session: &granary_core::name::SessionName| {
            sendable(uploader.upload(session, vec![], &NoProgress))
        };
        let _download = |downloader: &Downloader, project: &granary_core::name::ProjectName| {
            sendable(downloader.download(project, vec![], &NoProgress))
        };
    }
}
