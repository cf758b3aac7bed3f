//! Measuring, reading and hashing.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use granary_core::{
    Error, Result,
    parts::{SINGLE, part_size},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{File, run::Run};
use crate::{
    Item, Progress, Source,
    hash::{self, Hashed, Origin},
    local::{self, blocking},
};

/// A file that is ready to be registered and sent.
pub(super) struct Prepared {
    pub(super) file: File,
    pub(super) sha256: String,
    pub(super) content: Content,
}

/// What is sent.
pub(super) enum Content {
    /// All of a small file, with its share of the memory.
    Whole(
        Bytes,
        #[allow(dead_code, reason = "held until the bytes are sent")] Option<OwnedSemaphorePermit>,
    ),
    /// A large file.
    Parts(Hashed),
}

/// Finds the sizes of all files, so that it is known how much there is to do.
pub(super) async fn measure(items: Vec<Item>, progress: &dyn Progress) -> Result<Vec<File>> {
    let files =
        blocking(move || items.into_iter().map(size_of).collect::<Result<Vec<_>>>()).await?;
    progress.total(files.len() as u64, files.iter().map(|file| file.size).sum());
    Ok(files)
}

fn size_of(item: Item) -> Result<File> {
    let size = match &item.source {
        Source::Bytes(bytes) => bytes.len() as u64,
        Source::File(path) => {
            let metadata =
                fs::metadata(path).map_err(|error| local::failed(path, "read it", &error))?;
            if !metadata.is_file() {
                return Err(Error::precondition(path.display(), "this is not a file"));
            }
            metadata.len()
        }
    };
    Ok(File {
        item: Arc::new(item),
        size,
    })
}

impl Run<'_> {
    pub(super) async fn prepare(&self, file: File) -> Result<Prepared> {
        let (sha256, content) = match &file.item.source {
            source if file.size > SINGLE => self.hash_large(source.clone(), file.size).await?,
            Source::Bytes(bytes) => {
                let bytes = bytes.clone();
                let (bytes, sum) =
                    blocking(move || Ok((bytes.clone(), hash::sha256(&bytes)))).await?;
                (sum, Content::Whole(bytes, None))
            }
            Source::File(path) => {
                let share = u32::try_from(file.size.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
                let room = self
                    .memory
                    .clone()
                    .acquire_many_owned(share)
                    .await
                    .map_err(|error| Error::internal("waiting for memory", error))?;
                let (path, size) = (path.clone(), file.size);
                let (bytes, sum) = blocking(move || hash::whole(&path, size)).await?;
                (sum, Content::Whole(bytes, Some(room)))
            }
        };
        if file.size <= SINGLE {
            self.progress.hashed(file.size);
        }
        Ok(Prepared {
            file,
            sha256,
            content,
        })
    }

    async fn hash_large(&self, source: Source, size: u64) -> Result<(String, Content)> {
        let origin = match source {
            Source::Bytes(bytes) => Origin::Bytes(bytes),
            Source::File(path) => {
                blocking(move || {
                    let (_, stamp) = local::open(&path)?;
                    if stamp.size == size {
                        Ok(Origin::File(path, stamp))
                    } else {
                        Err(local::changed(&path))
                    }
                })
                .await?
            }
        };
        // Unless the server says otherwise.
        let expected = part_size(size).unwrap_or(SINGLE);
        let hashed = self.hash(origin, expected).await?;
        Ok((hashed.sha256.clone(), Content::Parts(hashed)))
    }

    /// Hashes a large file, and tells how far it is.
    pub(super) async fn hash(&self, origin: Origin, part_size: u64) -> Result<Hashed> {
        let done = Arc::new(AtomicU64::new(0));
        let counter = done.clone();
        let report = move |bytes| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        };
        let work = blocking(move || hash::parts(origin, part_size, report));
        tokio::pin!(work);
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            let result = tokio::select! {
                result = &mut work => Some(result),
                _ = tick.tick() => None,
            };
            self.progress.hashed(done.swap(0, Ordering::Relaxed));
            if let Some(result) = result {
                return result;
            }
        }
    }
}
