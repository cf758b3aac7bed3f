//! Making names durable, shared: whoever waits for a folder that is being synced is answered by the next round,
//! so eight clients writing into one folder cost two rounds, not eight.

use std::{
    collections::HashMap, fs::File, io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc,
};

use parking_lot::{Condvar, Mutex};

/// Work of which one run answers everybody who came before it began.
#[derive(Default)]
pub(crate) struct Coalesced {
    rounds: Mutex<Rounds>,
    ended: Condvar,
}

#[derive(Default)]
struct Rounds {
    begun: u64,
    ended: u64,
    failed: u64,
    running: bool,
}

impl Coalesced {
    /// Returns once a run that began after this call has ended.
    ///
    /// # Errors
    /// If that run failed. It is not repeated: after a failed fsync, a second one reports success for lost data.
    pub(crate) fn run(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut rounds = self.rounds.lock();
        let wanted = rounds.begun + 1;
        while rounds.running && rounds.ended < wanted {
            self.ended.wait(&mut rounds);
        }
        if rounds.ended >= wanted {
            return if rounds.failed >= wanted {
                Err(io::Error::other("the shared sync failed"))
            } else {
                Ok(())
            };
        }
        rounds.running = true;
        rounds.begun += 1;
        let round = rounds.begun;
        drop(rounds);

        let result = work();

        let mut rounds = self.rounds.lock();
        rounds.running = false;
        rounds.ended = round;
        if result.is_err() {
            rounds.failed = round;
        }
        self.ended.notify_all();
        result
    }
}

/// One [`Coalesced`] for each folder that somebody waits for, by device and inode: a name may come to mean another folder.
#[derive(Default)]
pub(super) struct FolderSyncs {
    waiting: Mutex<HashMap<(u64, u64), Arc<Coalesced>>>,
}

impl FolderSyncs {
    /// Makes the entries of `folder` durable; of the nearest folder above it, if it has been removed meanwhile:
    /// a journal that has the removal of the folder also has what went on in it before.
    pub(super) fn sync(&self, folder: &Path, root: &Path) -> io::Result<()> {
        let mut folder = folder;
        loop {
            match self.sync_one(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && folder != root => {
                    folder = folder.parent().unwrap_or(root);
                }
                result => return result,
            }
        }
    }

    fn sync_one(&self, folder: &Path) -> io::Result<()> {
        let file = File::open(folder)?;
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        let shared = Arc::clone(self.waiting.lock().entry(identity).or_default());
        let result = shared.run(|| file.sync_all());
        let mut waiting = self.waiting.lock();
        // The map's and ours: nobody else waits.
        if Arc::strong_count(&shared) == 2 {
            waiting.remove(&identity);
        }
        result
    }
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
    };

    use super::*;

    #[test]
    fn those_who_come_during_a_run_share_the_next_one() {
        let (shared, runs) = (Coalesced::default(), AtomicU32::new(0));
        let (inside, go_on) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                shared.run(|| {
                    inside.wait();
                    go_on.wait();
                    Ok(())
                })
            });
            inside.wait();
            let waiters: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        shared.run(|| {
                            runs.fetch_add(1, SeqCst);
                            Ok(())
                        })
                    })
                })
                .collect();
            go_on.wait();
            for waiter in waiters {
                waiter.join().unwrap().unwrap();
            }
        });
        // Those that came before the first run ended share one; late ones run for themselves, or share again.
        assert!((1..=8).contains(&runs.load(SeqCst)));
        let rounds = shared.rounds.lock();
        assert_eq!(rounds.ended, rounds.begun);
    }

    #[test]
    fn a_call_is_never_answered_by_a_run_that_began_before_it() {
        let shared = Coalesced::default();
        let written = AtomicU32::new(0);
        for round in 1..=100 {
            written.store(round, SeqCst);
            let seen = AtomicU32::new(0);
            shared
                .run(|| {
                    seen.store(written.load(SeqCst), SeqCst);
                    Ok(())
                })
                .unwrap();
            assert_eq!(seen.load(SeqCst), round);
        }
    }

    #[test]
    fn a_failed_run_fails_its_caller_and_not_the_next() {
        let shared = Coalesced::default();
        assert!(shared.run(|| Err(io::Error::other("broken"))).is_err());
        assert!(shared.run(|| Ok(())).is_ok());
    }

    #[test]
    fn a_removed_folder_is_answered_by_the_one_above() {
        let root = tempfile::tempdir().unwrap();
        let syncs = FolderSyncs::default();
        syncs
            .sync(&root.path().join("gone/and/gone"), root.path())
            .unwrap();
        assert!(syncs.waiting.lock().is_empty());
    }
}
