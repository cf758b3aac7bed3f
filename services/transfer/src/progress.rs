//! Telling somebody how far it is.

/// Hears how a transfer goes on. Methods are called from the transfer's own task and must return at once.
pub trait Progress: Send + Sync {
    /// What there is to do, said once.
    fn total(&self, files: u64, bytes: u64);
    /// So many more bytes were read and hashed.
    fn hashed(&self, _bytes: u64) {}
    /// So many more bytes were sent, or fetched.
    fn sent(&self, bytes: u64);
    /// So many more bytes need not be moved: they are there already.
    fn skipped(&self, bytes: u64);
    /// A file is done: confirmed by the store, or complete on the disk.
    fn done_file(&self, path: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn total(&self, _files: u64, _bytes: u64) {}
    fn sent(&self, _bytes: u64) {}
    fn skipped(&self, _bytes: u64) {}
    fn done_file(&self, _path: &str) {}
}
