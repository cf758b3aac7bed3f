//! Reading, writing and copying ranges of open files.

use std::{fs::File, io, io::IoSlice};

use bytes::Bytes;
use rustix::{buffer::spare_capacity, io::Errno};

/// Buffers of one system call; Linux takes 1,024.
const MAX_SLICES: usize = 512;
/// Bytes of one copy in memory, where the kernel cannot copy by itself.
const COPY_CHUNK: u64 = 1 << 20;

/// Writes frames one behind the other, from `offset` on.
pub(crate) fn write_frames(file: &File, frames: &[Bytes], mut offset: u64) -> io::Result<()> {
    for group in frames.chunks(MAX_SLICES) {
        let mut slices: Vec<IoSlice<'_>> = group.iter().map(|frame| IoSlice::new(frame)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Reads `length` bytes from `offset` on; fails if the file ends before.
pub(crate) fn read_range(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = Vec::with_capacity(length);
    while buffer.len() < length {
        let position = offset + buffer.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut buffer), position) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The allocator may have given more room than asked for, and the read filled it.
    buffer.truncate(length);
    Ok(buffer.into())
}

/// Copies a range from one file into another, in the kernel where it can: some file systems then only share the blocks.
pub(crate) fn copy_range(
    from: &File,
    mut start: u64,
    to: &File,
    mut offset: u64,
    mut length: u64,
) -> io::Result<()> {
    while length > 0 {
        let chunk = usize::try_from(length.min(1 << 30)).unwrap_or(1 << 30);
        let copied =
            match rustix::fs::copy_file_range(from, Some(&mut start), to, Some(&mut offset), chunk)
            {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count as u64,
                Err(Errno::INTR) => 0,
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM) => {
                    return copy_by_hand(from, start, to, offset, length);
                }
                Err(error) => return Err(error.into()),
            };
        length -= copied;
    }
    Ok(())
}

fn copy_by_hand(
    from: &File,
    mut start: u64,
    to: &File,
    mut offset: u64,
    mut length: u64,
) -> io::Result<()> {
    while length > 0 {
        let count = length.min(COPY_CHUNK);
        let chunk = read_range(from, start, usize::try_from(count).unwrap_or(0))?;
        write_frames(to, &[chunk], offset)?;
        (start, offset, length) = (start + count, offset + count, length - count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_written_and_read_back_from_any_offset() {
        let file = tempfile::tempfile().unwrap();
        let frames: Vec<Bytes> = (0..2_000_u32).map(|n| Bytes::from(n.to_string())).collect();
        let whole: Vec<u8> = frames.concat();
        write_frames(&file, &frames, 7).unwrap();
        assert_eq!(read_range(&file, 7, whole.len()).unwrap(), whole);
        assert_eq!(read_range(&file, 10, 5).unwrap(), whole[3..8]);
        assert_eq!(
            read_range(&file, 10, whole.len()).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn both_ways_of_copying_copy_the_same() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let data = Bytes::from(vec![7_u8; 3 << 20]);
        write_frames(&from, std::slice::from_ref(&data), 0).unwrap();
        copy_range(&from, 5, &to, 1, 2 << 20).unwrap();
        copy_by_hand(&from, 5, &to, 3 << 20, 2 << 20).unwrap();
        assert_eq!(
            read_range(&to, 1, 2 << 20).unwrap(),
            read_range(&to, 3 << 20, 2 << 20).unwrap()
        );
        assert!(
            copy_range(&from, 0, &to, 0, 4 << 20).is_err(),
            "the source is too short"
        );
    }
}
