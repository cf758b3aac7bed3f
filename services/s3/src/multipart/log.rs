//! What is known about an upload, as lines of JSON that are only ever appended. A line that a crash tore is no line.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    attr::Attr,
    checksum::{Algorithm, Sums},
    disk::Coalesced,
};

/// The name of the file in the folder of an upload.
pub(super) const LOG: &str = "log";

/// What an upload was begun with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) attr: Attr,
    /// The checksum that the object gets.
    pub(crate) algorithm: Option<Algorithm>,
    /// Whether that is the checksum of the parts' checksums, or of the bytes.
    pub(crate) composite: bool,
    /// Milliseconds since 1970.
    pub(crate) began: i64,
}

/// A part that has arrived, durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) number: u16,
    pub(crate) size: u64,
    pub(crate) etag: String,
    #[serde(flatten)]
    pub(crate) sums: Sums,
    /// Milliseconds since 1970.
    pub(crate) arrived: i64,
    #[serde(flatten)]
    pub(crate) lies: Lies,
}

/// Where the bytes of a part are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lies {
    /// In `data`, where it belongs if every part before it has this many bytes.
    Unit(u64),
    /// In a file of this name.
    File(String),
}

impl Part {
    /// Where it begins in `data`, if it lies there.
    pub(crate) fn offset(&self) -> Option<u64> {
        match self.lies {
            Lies::Unit(unit) => Some(u64::from(self.number - 1) * unit),
            Lies::File(_) => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Head(std::borrow::Cow<'a, Head>),
    Part(std::borrow::Cow<'a, Part>),
}

/// The log of one upload, open for appending.
pub(crate) struct Log {
    file: File,
    sync: Coalesced,
}

/// What a log says.
pub(crate) struct Story {
    pub(crate) head: Head,
    /// The last of each number.
    pub(crate) parts: BTreeMap<u16, Part>,
    /// Every part that ever arrived in `data`: its range is not used again.
    pub(crate) placed: BTreeMap<u16, u64>,
}

impl Log {
    /// Begins a log, durably but for its name.
    pub(super) fn create(folder: &Path, head: &Head) -> io::Result<()> {
        let mut file = File::create_new(folder.join(LOG))?;
        file.write_all(&encode(&Line::Head(std::borrow::Cow::Borrowed(head)))?)?;
        file.sync_all()
    }

    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(folder.join(LOG))?;
        Ok(Self {
            file,
            sync: Coalesced::default(),
        })
    }

    /// Adds a part, durably.
    pub(super) fn append(&self, part: &Part) -> io::Result<()> {
        let line = encode(&Line::Part(std::borrow::Cow::Borrowed(part)))?;
        // One write of an appending file does not mix with others.
        if (&self.file).write(&line)? < line.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.sync.run(|| self.file.sync_data())
    }
}

/// Starts a new line first, so that what follows a torn line is whole.
fn encode(line: &Line<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![b'\n'];
    serde_json::to_writer(&mut bytes, line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a log; `None` if it has no whole beginning.
pub(super) fn read(folder: &Path) -> io::Result<Option<Story>> {
    let bytes = fs::read(folder.join(LOG))?;
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Line<'_>>(line).ok());
    let mut story: Option<Story> = None;
    for line in lines {
        match (line, &mut story) {
            (Line::Head(head), None) => {
                story = Some(Story {
                    head: head.into_owned(),
                    parts: BTreeMap::new(),
                    placed: BTreeMap::new(),
                });
            }
            (Line::Part(part), Some(story)) if part.number > 0 => {
                let part = part.into_owned();
                if let Lies::Unit(unit) = part.lies {
                    story.placed.insert(part.number, unit);
                }
                story.parts.insert(part.number, part);
            }
            _ => {}
        }
    }
    Ok(story)
}

/// Reads only what an upload was begun with.
pub(super) fn read_head(folder: &Path) -> io::Result<Option<Head>> {
    for line in io::BufReader::new(File::open(folder.join(LOG))?).split(b'\n') {
        if let Ok(Line::Head(head)) = serde_json::from_slice(&line?) {
            return Ok(Some(head.into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            bucket: "raw".into(),
            key: "a\nb".into(),
            attr: Attr::default(),
            algorithm: Some(Algorithm::Crc32c),
            composite: false,
            began: 1,
        }
    }

    fn part(number: u16, lies: Lies) -> Part {
        Part {
            number,
            size: 3,
            etag: format!("{number}-1"),
            sums: Sums::default(),
            arrived: 2,
            lies,
        }
    }

    #[test]
    fn a_log_says_again_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        Log::create(folder.path(), &head()).unwrap();
        let log = Log::open(folder.path()).unwrap();
        let second = part(2, Lies::File("x".into()));
        for line in [
            part(2, Lies::Unit(5)),
            part(1, Lies::Unit(5)),
            second.clone(),
        ] {
            log.append(&line).unwrap();
        }
        let story = read(folder.path()).unwrap().unwrap();
        assert_eq!(story.head.key, "a\nb");
        assert_eq!(
            story.parts.values().cloned().collect::<Vec<_>>(),
            [part(1, Lies::Unit(5)), second]
        );
        assert_eq!(story.placed, BTreeMap::from([(1, 5), (2, 5)]));
    }

    #[test]
    fn a_torn_line_does_not_hide_those_after_it() {
        let folder = tempfile::tempdir().unwrap();
        Log::create(folder.path(), &head()).unwrap();
        let path = folder.path().join(LOG);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\n{\"part\":{\"number\":7,\"si").unwrap();
        Log::open(folder.path())
            .unwrap()
            .append(&part(1, Lies::Unit(5)))
            .unwrap();
        let story = read(folder.path()).unwrap().unwrap();
        assert_eq!(story.parts.keys().copied().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_log_without_beginning_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOG), "\n{\"head\":{\"bucket\":\"ra").unwrap();
        assert!(read(folder.path()).unwrap().is_none());
    }
}
