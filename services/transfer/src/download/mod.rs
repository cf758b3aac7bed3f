//! Downloads: fetched beside their place, checked, and only then put there.

mod fetch;
mod partial;
mod sign;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use granary_core::{
    Error, Result,
    name::{AssetName, ProjectName},
};
use granary_runtime::Link;
use reqwest::Client;

use crate::{Progress, batches::batches, http, local};

/// How downloads are done.
#[derive(Clone, Copy, Debug)]
pub struct DownloadOptions {
    /// The most requests at the store at once.
    pub concurrency: usize,
    /// How long passing failures are borne.
    pub patience: Duration,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            patience: Duration::from_secs(60),
        }
    }
}

/// A file to fetch.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The asset.
    pub asset: AssetName,
    /// Where it goes. Whoever asks makes sure that this is a safe place; a link there is replaced, not followed.
    pub to: PathBuf,
    /// The asset's size in bytes.
    pub size_bytes: u64,
    /// The asset's SHA-256, 64 hexadecimal digits in lower case.
    pub sha256: String,
}

/// What a download came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Downloaded {
    /// Files that are on the disk now.
    pub files: u64,
    /// Bytes that were fetched.
    pub bytes: u64,
    /// Files among them that were there already.
    pub skipped: u64,
}

/// Fetches assets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Downloader {
    storage: Link,
    /// Or why there is none: whoever downloads learns it.
    client: Result<Client>,
    options: DownloadOptions,
}

/// How many URLs are asked for at once: few enough that they do not end before it is their turn.
const BATCH: usize = 200;

impl Downloader {
    /// A downloader by this way to the storage service.
    pub fn new(storage: Link, options: DownloadOptions) -> Self {
        Self {
            storage,
            client: http::client(options.concurrency),
            options,
        }
    }

    /// Fetches assets of one project; each is complete and checked when it appears under its name. A file that is there with the same
    /// content is left as it is, another one is replaced. What was fetched before an interruption lies in `NAME.granary-part` and is gone on with.
    ///
    /// The first failure ends it. Errors: [`Error::NotFound`] and [`Error::Precondition`] if an asset is missing or pending, or a file cannot be
    /// written; [`Error::DataLoss`] if what the store has is not what was stored; [`Error::Unavailable`] if the server or the store cannot be
    /// reached for longer than the patience.
    pub async fn download(
        &self,
        project: &ProjectName,
        wanted: Vec<Wanted>,
        progress: &dyn Progress,
    ) -> Result<Downloaded> {
        let client = self.client.clone()?;
        progress.total(
            wanted.len() as u64,
            wanted.iter().map(|file| file.size_bytes).sum(),
        );
        let folders: BTreeSet<PathBuf> = wanted
            .iter()
            .filter_map(|file| file.to.parent())
            .map(PathBuf::from)
            .collect();
        let run = Run {
            client: &client,
            downloader: self,
            project,
            progress,
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        };
        run.all(wanted).await?;
        sync(folders).await?;
        Ok(Downloaded {
            files: run.files.load(Ordering::Relaxed),
            bytes: run.bytes.load(Ordering::Relaxed),
            skipped: run.skipped.load(Ordering::Relaxed),
        })
    }
}

/// What the steps of one download share.
struct Run<'a> {
    client: &'a Client,
    downloader: &'a Downloader,
    project: &'a ProjectName,
    progress: &'a dyn Progress,
    bytes: AtomicU64,
    files: AtomicU64,
    skipped: AtomicU64,
}

impl Run<'_> {
    async fn all(&self, wanted: Vec<Wanted>) -> Result<()> {
        let missing = futures::stream::iter(wanted)
            .map(|file| self.unless_present(file).boxed())
            .buffer_unordered(4)
            .try_filter_map(|file| futures::future::ready(Ok(file)));
        let signed = batches(missing, BATCH, Duration::from_millis(30))
            .map(|batch| self.sign(batch).boxed())
            .buffer_unordered(2);
        let each = signed
            .map_ok(|batch| futures::stream::iter(batch.into_iter().map(Ok)))
            .try_flatten();
        let fetched = each
            .map_ok(|(file, get)| self.fetch(file, get).boxed())
            .try_buffer_unordered(self.downloader.options.concurrency.max(1));
        fetched.try_collect::<()>().await
    }

    /// The file, unless it is there.
    async fn unless_present(&self, file: Wanted) -> Result<Option<Wanted>> {
        let (to, size, sha256) = (file.to.clone(), file.size_bytes, file.sha256.clone());
        if !local::blocking(move || Ok(partial::is_there(&to, size, &sha256))).await? {
            return Ok(Some(file));
        }
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.progress.skipped(file.size_bytes);
        self.done(&file);
        Ok(None)
    }

    fn done(&self, file: &Wanted) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.progress.done_file(&file.to.to_string_lossy());
    }

    fn fetched(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.sent(bytes);
    }
}

/// Makes the new names last, once for each folder.
async fn sync(folders: BTreeSet<PathBuf>) -> Result<()> {
    local::blocking(move || {
        for folder in folders
            .iter()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|error: std::io::Error| -> Error {
                local::failed(folder, "make what was written last", &error)
            })?;
        }
        Ok(())
    })
    .await
}
