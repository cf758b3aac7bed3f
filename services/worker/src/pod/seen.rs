//! What is known of the program's end, as its container tells the one that attends it: a file, replaced as a whole.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::launch::{Ending, Exit};

const MAX_BYTES: u64 = 64 * 1024;

/// What is known so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    pub begun: bool,
    /// Why it could not be started.
    pub cannot_start: Option<String>,
    /// How it ended: what happened, and the code or the signal with it.
    ended: Option<(What, i32)>,
    /// The most memory that was seen in use, in bytes.
    pub peak: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Exited,
    Signalled,
    TimedOut,
    OutOfMemory,
    Stopped,
}

impl Seen {
    pub(super) fn begun() -> Self {
        Self {
            begun: true,
            ..Self::default()
        }
    }

    pub(super) fn cannot_start(why: String) -> Self {
        Self {
            cannot_start: Some(why),
            ..Self::begun()
        }
    }

    pub(super) fn ended(exit: Exit) -> Self {
        let ended = match exit.ending {
            Ending::Exited(code) => (What::Exited, code),
            Ending::Signalled(signal) => (What::Signalled, signal),
            Ending::TimedOut => (What::TimedOut, 0),
            Ending::OutOfMemory => (What::OutOfMemory, 0),
            Ending::Stopped => (What::Stopped, 0),
        };
        Self {
            ended: Some(ended),
            peak: exit.peak_memory_bytes,
            ..Self::begun()
        }
    }

    /// How it ended, if it has.
    pub(super) fn exit(&self) -> Option<Exit> {
        let (what, number) = self.ended?;
        let ending = match what {
            What::Exited => Ending::Exited(number),
            What::Signalled => Ending::Signalled(number),
            What::TimedOut => Ending::TimedOut,
            What::OutOfMemory => Ending::OutOfMemory,
            What::Stopped => Ending::Stopped,
        };
        Some(Exit {
            ending,
            peak_memory_bytes: self.peak,
        })
    }

    /// Tells it, in one step.
    pub(super) fn tell(&self, to: &Path) -> std::io::Result<()> {
        let new = PathBuf::from(format!("{}.new", to.display()));
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, to)
    }

    /// What was told last; nothing known if nothing was, or if it is not understood: the program can write there too, but to its own harm only.
    pub(super) fn read(from: &Path) -> Self {
        let Ok(file) = open(from) else {
            return Self::default();
        };
        let mut bytes = Vec::new();
        let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
        read.ok()
            .and_then(|_| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }
}

/// Opens a file that the program may have replaced: it is a file and no link, or it is not opened.
pub(super) fn open(path: &Path) -> std::io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(std::io::Error::other("it is no file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seen");
        assert_eq!(Seen::read(&file), Seen::default());
        for ending in [
            Ending::Exited(3),
            Ending::Signalled(11),
            Ending::TimedOut,
            Ending::OutOfMemory,
            Ending::Stopped,
        ] {
            let exit = Exit {
                ending,
                peak_memory_bytes: 7,
            };
            Seen::ended(exit).tell(&file).unwrap();
            assert_eq!(Seen::read(&file).exit(), Some(exit));
        }
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(Seen::read(&file), Seen::default());
    }

    #[test]
    fn links_and_pipes_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, link, pipe) = (
            folder.path().join("token"),
            folder.path().join("link"),
            folder.path().join("pipe"),
        );
        std::fs::write(&secret, "secret").unwrap();
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RWXU).unwrap();
        assert!(open(&secret).is_ok());
        assert!(open(&link).is_err() && open(&pipe).is_err());
    }
}
