//! Whether a folder that somebody else writes is finished: a pure decision, and the facts that it needs.

use std::{path::Path, time::Duration};

use time::OffsetDateTime;
use walkdir::WalkDir;

/// How soon a folder is tried again that could not be sent; twice as long after each time.
const FIRST_PAUSE: time::Duration = time::Duration::seconds(10);
const LONGEST_PAUSE: time::Duration = time::Duration::minutes(5);

/// What a folder looked like. Equal stamps mean that nothing changed in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// The newest change of any file or folder in it. Times of the inode count too: tools that keep a file's own time cannot set those.
    pub(crate) newest: OffsetDateTime,
}

/// What is known of a folder from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// It looked like this since then.
    Seen(Stamp, OffsetDateTime),
    /// There is nothing to do until it changes: it was sent, or something is wrong with it.
    Settled(Stamp),
    /// It could not be sent for now.
    Later {
        stamp: Stamp,
        /// When to try again.
        at: OffsetDateTime,
        /// How long that is after the last try.
        pause: time::Duration,
    },
}

impl Memory {
    /// Of a folder that could not be sent, for a reason that does not lie in it. `before` is what was known of it.
    pub(crate) fn later(before: Option<&Self>, stamp: Stamp, now: OffsetDateTime) -> Self {
        let pause = match before {
            Some(Self::Later {
                stamp: same, pause, ..
            }) if *same == stamp => (*pause * 2_i32).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        Self::Later {
            stamp,
            at: now + pause,
            pause,
        }
    }
}

/// What to do with a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Look again then.
    Wait(OffsetDateTime),
    /// It is quiet: look into it.
    Take,
    /// Nothing changed since it was dealt with.
    Leave,
}

/// Takes a folder once nothing in it changed for the quiet period, by its own times, or where they are ahead of this machine's clock, by what was
/// seen of it.
pub(crate) fn decide(
    memory: Option<&Memory>,
    stamp: Stamp,
    now: OffsetDateTime,
    quiet: Duration,
) -> Decision {
    let since = match memory {
        Some(Memory::Settled(before)) if *before == stamp => return Decision::Leave,
        Some(Memory::Later {
            stamp: before, at, ..
        }) if *before == stamp => {
            return if now >= *at {
                Decision::Take
            } else {
                Decision::Wait(*at)
            };
        }
        Some(Memory::Seen(before, since)) if *before == stamp => *since,
        _ => now,
    };
    let quiet_at = stamp
        .newest
        .min(since)
        .saturating_add(time::Duration::try_from(quiet).unwrap_or(time::Duration::MAX));
    if now >= quiet_at {
        Decision::Take
    } else {
        Decision::Wait(quiet_at)
    }
}

/// Looks at a folder. What vanishes meanwhile counts as a change just now.
pub(crate) fn stamp(root: &Path, now: OffsetDateTime) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let mut stamp = Stamp {
        entries: 0,
        bytes: 0,
        newest: OffsetDateTime::UNIX_EPOCH,
    };
    for entry in WalkDir::new(root) {
        stamp.entries += 1;
        let Some(metadata) = entry.ok().and_then(|entry| entry.metadata().ok()) else {
            stamp.newest = stamp.newest.max(now);
            continue;
        };
        if metadata.is_file() {
            stamp.bytes = stamp.bytes.saturating_add(metadata.len());
        }
        for (seconds, nanos) in [
            (metadata.mtime(), metadata.mtime_nsec()),
            (metadata.ctime(), metadata.ctime_nsec()),
        ] {
            let time = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
            stamp.newest = stamp
                .newest
                .max(OffsetDateTime::from_unix_timestamp_nanos(time).unwrap_or(now));
        }
    }
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_core::clock::{Clock as _, ManualClock};
    use time::macros::datetime;

    const QUIET: Duration = Duration::from_secs(5);
    const START: OffsetDateTime = datetime!(2021-03-01 12:00 UTC);

    fn seconds(seconds: i64) -> time::Duration {
        time::Duration::seconds(seconds)
    }

    fn changed(newest: OffsetDateTime) -> Stamp {
        Stamp {
            entries: 3,
            bytes: 10,
            newest,
        }
    }

    #[test]
    fn a_folder_that_was_left_alone_is_taken_at_once() {
        assert_eq!(
            decide(None, changed(START - seconds(60)), START, QUIET),
            Decision::Take
        );
    }

    #[test]
    fn a_folder_that_is_being_written_is_taken_after_the_quiet_period() {
        let clock = ManualClock::new(START);
        let stamp = changed(START - seconds(1));
        assert_eq!(
            decide(None, stamp, clock.now(), QUIET),
            Decision::Wait(START + seconds(4))
        );
        let memory = Memory::Seen(stamp, clock.now());
        clock.advance(seconds(3));
        assert_eq!(
            decide(Some(&memory), stamp, clock.now(), QUIET),
            Decision::Wait(START + seconds(4))
        );
        let written = changed(clock.now());
        assert_eq!(
            decide(Some(&memory), written, clock.now(), QUIET),
            Decision::Wait(START + seconds(8))
        );
        clock.advance(seconds(5));
        assert_eq!(
            decide(
                Some(&Memory::Seen(written, START + seconds(3))),
                written,
                clock.now(),
                QUIET
            ),
            Decision::Take
        );
    }

    #[test]
    fn a_clock_that_is_ahead_elsewhere_does_not_hold_a_folder_back() {
        let stamp = changed(START + seconds(3600));
        assert_eq!(
            decide(None, stamp, START, QUIET),
            Decision::Wait(START + seconds(5))
        );
        assert_eq!(
            decide(
                Some(&Memory::Seen(stamp, START)),
                stamp,
                START + seconds(5),
                QUIET
            ),
            Decision::Take
        );
    }

    #[test]
    fn what_was_dealt_with_is_left_alone_until_it_changes() {
        let stamp = changed(START - seconds(60));
        let settled = Memory::Settled(stamp);
        assert_eq!(decide(Some(&settled), stamp, START, QUIET), Decision::Leave);
        assert_eq!(
            decide(Some(&settled), changed(START), START, QUIET),
            Decision::Wait(START + seconds(5))
        );
    }

    #[test]
    fn what_failed_for_now_is_tried_later() {
        let stamp = changed(START - seconds(60));
        let later = Memory::later(None, stamp, START);
        assert_eq!(
            decide(Some(&later), stamp, START, QUIET),
            Decision::Wait(START + seconds(10))
        );
        assert_eq!(
            decide(Some(&later), stamp, START + seconds(10), QUIET),
            Decision::Take
        );
    }

    #[test]
    fn what_fails_again_and_again_is_tried_ever_more_seldom_until_it_changes() {
        let stamp = changed(START - seconds(60));
        let mut memory = None;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let later = Memory::later(memory.as_ref(), stamp, START);
            let Memory::Later { at, .. } = later else {
                panic!("{later:?}");
            };
            pauses.push((at - START).whole_seconds());
            memory = Some(later);
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300, 300]);
        let changed = Memory::later(memory.as_ref(), changed(START), START);
        assert!(matches!(changed, Memory::Later { at, .. } if at == START + seconds(10)));
    }

    #[test]
    fn the_time_of_a_change_cannot_be_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let start = OffsetDateTime::now_utc();
        std::fs::write(&file, "one").unwrap();
        for path in [file.as_path(), folder.path()] {
            std::fs::File::open(path)
                .unwrap()
                .set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        }
        let stamp = stamp(folder.path(), start);
        assert!(stamp.newest > start - seconds(2), "{stamp:?}");
        assert_eq!((stamp.entries, stamp.bytes), (2, 3));
    }
}
