//! One upload in memory: what its log says, and who is writing into it.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use s3s::S3Result;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::{
    folder_of,
    log::{self, Head, Log, Part},
};
use crate::{
    disk::{Coalesced, Disk},
    fault::{io_fault, no_such_upload},
    key::{Bucket, Key, Place},
};

/// The name of the object in the making.
pub(super) const DATA: &str = "data";

/// An upload that is going on.
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
    pub(crate) head: Head,
    pub(crate) place: Place,
    pub(super) data: File,
    pub(super) data_sync: Coalesced,
    pub(super) log: Log,
    pub(super) state: Mutex<State>,
    /// Held for reading by whoever writes a part, for writing by who ends the upload.
    pub(super) gate: Arc<RwLock<()>>,
    /// The upload is being ended.
    pub(crate) closed: CancellationToken,
}

/// What changes while parts arrive.
pub(crate) struct State {
    pub(super) parts: BTreeMap<u16, Part>,
    /// Bytes of each part but the last, once that is known.
    pub(super) unit: Option<u64>,
    /// Parts whose range in `data` is in use, or was.
    pub(super) taken: HashSet<u16>,
}

impl Upload {
    /// Reads an upload from the disk.
    pub(super) fn open(disk: &Disk, id: &str) -> S3Result<Self> {
        let folder = folder_of(disk, id).ok_or_else(no_such_upload)?;
        let (data, log, story) = match open_files(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_such_upload()),
            result => result.map_err(io_fault("read the multipart upload"))?,
        };
        let story = story.ok_or_else(no_such_upload)?;
        let place = Place::new(
            disk.root(),
            &Bucket::parse(&story.head.bucket)?,
            &Key::parse(&story.head.key)?,
        );
        let state = State {
            unit: story.placed.values().next().copied(),
            taken: story.placed.into_keys().collect(),
            parts: story.parts,
        };
        Ok(Self {
            id: id.to_owned(),
            folder,
            head: story.head,
            place,
            data,
            data_sync: Coalesced::default(),
            log,
            state: Mutex::new(state),
            gate: Arc::default(),
            closed: CancellationToken::new(),
        })
    }

    /// The parts that have arrived, by number.
    pub(crate) fn parts(&self) -> Vec<Part> {
        self.state.lock().parts.values().cloned().collect()
    }

    /// Whether the upload is still there: whoever waited for it to be ended may find that it is over.
    pub(super) fn is_over(&self) -> bool {
        fs::symlink_metadata(self.folder.join(DATA)).is_err()
    }
}

fn open_files(folder: &Path) -> io::Result<(File, Log, Option<log::Story>)> {
    let data = OpenOptions::new()
        .read(true)
        .write(true)
        .open(folder.join(DATA))?;
    Ok((data, Log::open(folder)?, log::read(folder)?))
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000)
        .unwrap_or_default()
}
