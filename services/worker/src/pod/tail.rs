//! Follows the program's output while it grows.

use std::{fs::File, io::Read as _, path::Path};

const AT_ONCE: u64 = 256 * 1024;

/// Where it was read to.
#[derive(Debug, Default)]
pub(super) struct Tail(Option<File>);

impl Tail {
    /// The next piece; empty if there is nothing more for now. Once opened it is the same file, whatever takes its name.
    pub(super) fn next(&mut self, path: &Path) -> Vec<u8> {
        if self.0.is_none() {
            self.0 = super::seen::open(path).ok();
        }
        let mut piece = Vec::new();
        if let Some(file) = &self.0
            && let Err(error) = file.take(AT_ONCE).read_to_end(&mut piece)
        {
            tracing::warn!(%error, "cannot read the program's output");
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_comes_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let mut tail = Tail::default();
        assert!(tail.next(&path).is_empty());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one").unwrap();
        assert_eq!(tail.next(&path), b"one");
        assert!(tail.next(&path).is_empty());
        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        std::fs::write(&path, "another").unwrap();
        file.write_all(b"two").unwrap();
        assert_eq!(tail.next(&path), b"two");
    }
}
