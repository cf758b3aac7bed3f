//! Where a part that is arriving is written, and how it becomes one that has arrived.

use std::{fs, fs::File, io, sync::Arc};

use rustix::fs::FallocateFlags;
use s3s::{S3Error, S3ErrorCode, S3Result};
use tokio::sync::OwnedRwLockReadGuard;

use super::{
    MAX_OBJECT, Upload,
    log::{Lies, Part},
    upload::now,
};
use crate::{
    body::closing,
    checksum::Digests,
    disk::{Disk, TempFile, random_name},
    fault::fault,
};

/// Bytes of a part that is not the last, as in S3.
pub(super) const MIN_PART: u64 = 5 << 20;
/// Clients cut files into parts of round sizes; only the last one is odd. So a part of such a size tells that of the others.
const ROUND: u64 = 64 << 10;

/// The place of one part. Dropped before [`Slot::arrive`], it leaves nothing behind.
pub(super) struct Slot {
    upload: Arc<Upload>,
    number: u16,
    target: Target,
    arrived: bool,
    _pass: OwnedRwLockReadGuard<()>,
}

enum Target {
    /// In the object in the making.
    Data { unit: u64 },
    /// In a file of its own, made with the first byte.
    Own(Option<TempFile>),
}

impl Slot {
    /// Takes a place for a part of `length` bytes.
    pub(super) fn claim(upload: Arc<Upload>, number: u16, length: u64) -> S3Result<Self> {
        let pass = Arc::clone(&upload.gate)
            .try_read_owned()
            .map_err(|_| closing())?;
        if upload.closed.is_cancelled() {
            return Err(closing());
        }
        let mut state = upload.state.lock();
        if state.unit.is_none()
            && length > 0
            && (number == 1 || (length.is_multiple_of(ROUND) && length >= MIN_PART))
        {
            state.unit = Some(length);
        }
        let fits = |unit: &u64| length <= *unit && u64::from(number) * unit <= MAX_OBJECT;
        let target = match state.unit.filter(fits) {
            Some(unit) if state.taken.insert(number) => Target::Data { unit },
            _ => Target::Own(None),
        };
        drop(state);
        Ok(Self {
            upload,
            number,
            target,
            arrived: false,
            _pass: pass,
        })
    }

    /// Where its first byte goes.
    pub(super) fn offset(&self) -> u64 {
        match self.target {
            Target::Data { unit } => u64::from(self.number - 1) * unit,
            Target::Own(_) => 0,
        }
    }

    /// Lends the file in which it lies.
    pub(super) fn with_file<T>(
        &mut self,
        work: impl FnOnce(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        match &mut self.target {
            Target::Data { .. } => work(&self.upload.data),
            Target::Own(Some(own)) => work(own.file()),
            Target::Own(empty) => {
                let own = TempFile::create_at(self.upload.folder.join(random_name()))?;
                let result = work(own.file());
                *empty = Some(own);
                result
            }
        }
    }

    /// Makes the part durable, bytes first, then the line in the log that says so.
    pub(super) fn arrive(mut self, disk: &Disk, size: u64, digests: Digests) -> io::Result<Part> {
        let lies = self.sync(disk)?;
        let etag = digests
            .md5
            .unwrap_or_else(|| format!("{}-1", random_name().split_off(8)));
        let part = Part {
            number: self.number,
            size,
            etag,
            sums: digests.sums,
            arrived: now(),
            lies,
        };
        // Should the log fail now, the line may be there nevertheless: what it points to stays untouched.
        self.arrived = true;
        if let Target::Own(own) = &mut self.target
            && let Some(own) = own.take()
        {
            own.keep();
        }
        self.upload.log.append(&part)?;
        let replaced = self
            .upload
            .state
            .lock()
            .parts
            .insert(self.number, part.clone());
        if let Some(Part {
            lies: Lies::File(name),
            ..
        }) = replaced
            && let Err(error) = fs::remove_file(self.upload.folder.join(name))
        {
            tracing::warn!(%error, "a part that was sent again stays until the end of its upload");
        }
        Ok(part)
    }

    fn sync(&mut self, disk: &Disk) -> io::Result<Lies> {
        if let Target::Data { unit } = self.target {
            self.upload.data_sync.run(|| self.upload.data.sync_data())?;
            return Ok(Lies::Unit(unit));
        }
        // An empty part has had no byte to make its file.
        self.with_file(File::sync_all)?;
        disk.sync_folder(&self.upload.folder)?;
        let name = match &self.target {
            Target::Own(Some(own)) => own
                .path()
                .file_name()
                .and_then(|name| name.to_str())
                .map(str::to_owned),
            _ => None,
        };
        name.map(Lies::File)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Target::Data { unit } = self.target else {
            return;
        };
        if self.arrived {
            return;
        }
        let offset = self.offset();
        let mut state = self.upload.state.lock();
        // A full disk gets its room back. Where this is not possible, the upload's end does it.
        let _ = rustix::fs::fallocate(
            &self.upload.data,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            offset,
            unit,
        );
        state.taken.remove(&self.number);
        if state.taken.is_empty() {
            // The next part may tell another size.
            state.unit = None;
        }
    }
}

/// A part number of S3.
pub(super) fn part_number(number: i32) -> S3Result<u16> {
    let valid = u16::try_from(number)
        .ok()
        .filter(|number| (1..=super::MAX_PARTS).contains(number));
    valid.ok_or_else(|| -> S3Error {
        fault(
            S3ErrorCode::InvalidArgument,
            "a part number is between 1 and 10,000",
        )
    })
}
