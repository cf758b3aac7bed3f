//! Reading and hashing what is sent, in one pass.

use std::{io::Read as _, os::unix::fs::FileExt as _, path::PathBuf};

use bytes::Bytes;
use granary_core::Result;
use sha2::{Digest as _, Sha256};

use crate::local::{self, Stamp};

/// How much is read at once.
pub(crate) const PIECE: usize = 512 << 10;

/// The SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Reads a small file as a whole, with its SHA-256.
pub(crate) fn whole(path: &std::path::Path, expected: u64) -> Result<(Bytes, String)> {
    let (mut file, before) = local::open(path)?;
    let size = usize::try_from(before.size).unwrap_or(usize::MAX);
    if before.size != expected {
        return Err(local::changed(path));
    }
    let mut bytes = Vec::with_capacity(size.saturating_add(1));
    (&mut file)
        .take(before.size.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| local::failed(path, "read it", &error))?;
    let after = file
        .metadata()
        .map_err(|error| local::failed(path, "read it", &error))?;
    if bytes.len() != size || Stamp::of(&after) != before {
        return Err(local::changed(path));
    }
    let sum = sha256(&bytes);
    Ok((bytes.into(), sum))
}

/// Where the bytes of a large file are.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// In a file, as it was when it was hashed.
    File(PathBuf, Stamp),
    /// In memory.
    Bytes(Bytes),
}

/// A large file, hashed: as a whole, and each part as it will be sent.
#[derive(Clone, Debug)]
pub(crate) struct Hashed {
    pub(crate) origin: Origin,
    pub(crate) sha256: String,
    pub(crate) part_size: u64,
    pub(crate) crcs: Vec<u32>,
}

/// Hashes in one pass; `report` hears how many bytes each step took.
pub(crate) fn parts(origin: Origin, part_size: u64, report: impl Fn(u64)) -> Result<Hashed> {
    let mut sums = Sums::new(part_size);
    match &origin {
        Origin::Bytes(bytes) => {
            for piece in bytes.chunks(PIECE) {
                sums.add(piece);
                report(piece.len() as u64);
            }
        }
        Origin::File(path, stamp) => {
            let (mut file, before) = local::open(path)?;
            if before != *stamp {
                return Err(local::changed(path));
            }
            let mut buffer = vec![0; PIECE];
            loop {
                let count = file
                    .read(&mut buffer)
                    .map_err(|error| local::failed(path, "read it", &error))?;
                let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
                    break;
                };
                sums.add(piece);
                report(count as u64);
            }
            let after = file
                .metadata()
                .map_err(|error| local::failed(path, "read it", &error))?;
            if Stamp::of(&after) != before || sums.count != before.size {
                return Err(local::changed(path));
            }
        }
    }
    let (sha256, crcs) = sums.finish();
    Ok(Hashed {
        origin,
        sha256,
        part_size,
        crcs,
    })
}

struct Sums {
    whole: Sha256,
    part_size: u64,
    crcs: Vec<u32>,
    /// Of the part in the making, with how much of it was added.
    crc: u32,
    filled: u64,
    count: u64,
}

impl Sums {
    fn new(part_size: u64) -> Self {
        Self {
            whole: Sha256::new(),
            part_size: part_size.max(1),
            crcs: vec![],
            crc: 0,
            filled: 0,
            count: 0,
        }
    }

    fn add(&mut self, piece: &[u8]) {
        self.whole.update(piece);
        self.count += piece.len() as u64;
        let mut rest = piece;
        while !rest.is_empty() {
            let room = usize::try_from(self.part_size - self.filled)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            let (now, later) = rest.split_at(room);
            self.crc = crc32c::crc32c_append(self.crc, now);
            self.filled += now.len() as u64;
            if self.filled == self.part_size {
                self.crcs.push(std::mem::take(&mut self.crc));
                self.filled = 0;
            }
            rest = later;
        }
    }

    fn finish(mut self) -> (String, Vec<u32>) {
        if self.filled > 0 {
            self.crcs.push(self.crc);
        }
        (hex::encode(self.whole.finalize()), self.crcs)
    }
}

/// Reads a piece of an open file.
pub(crate) fn read_at(file: &std::fs::File, offset: u64, length: usize) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_summed_where_they_will_be_cut() {
        let bytes = Bytes::from(
            (0..2_000_000u32)
                .map(|i| (i % 251) as u8)
                .collect::<Vec<_>>(),
        );
        let hashed = parts(Origin::Bytes(bytes.clone()), 700_000, |_| {}).unwrap();
        assert_eq!(hashed.sha256, sha256(&bytes));
        let expected: Vec<u32> = bytes.chunks(700_000).map(crc32c::crc32c).collect();
        assert_eq!(hashed.crcs, expected);
    }

    #[test]
    fn a_file_that_grew_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "12345").unwrap();
        let (_, stamp) = local::open(&path).unwrap();
        std::fs::write(&path, "123456").unwrap();
        let error = parts(Origin::File(path.clone(), stamp), 10, |_| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains("changed while it was sent"), "{error}");
        assert!(whole(&path, 5).is_err());
        assert_eq!(whole(&path, 6).unwrap().0, "123456");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            local::open(folder.path())
                .unwrap_err()
                .to_string()
                .contains("not a file")
        );
    }
}
