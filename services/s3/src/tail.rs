//! The growing end of a file that takes in a body.

use std::{fs::File, io};

use bytes::Bytes;

use crate::{checksum::Hashes, disk};

/// Where the next byte goes, and the checksums of those before.
pub(crate) struct Tail {
    offset: u64,
    pub(crate) hashes: Hashes,
}

impl Tail {
    pub(crate) fn new(offset: u64, hashes: Hashes) -> Self {
        Self { offset, hashes }
    }

    pub(crate) fn append(&mut self, file: &File, frames: &[Bytes]) -> io::Result<()> {
        self.hashes.update(frames);
        disk::write_frames(file, frames, self.offset)?;
        self.offset += frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
        Ok(())
    }
}
