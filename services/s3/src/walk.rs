//! Listing keys in the byte order of S3, from the folders in which they lie, reading no folder that cannot hold an answer.
//!
//! Within a folder, a file sorts by its name and a folder by its name and a slash: then depth first is the order of whole keys.

use std::{
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use crate::key::MAX_KEY;

/// What to list.
pub(crate) struct Query<'a> {
    /// Keys start with this.
    pub(crate) prefix: &'a str,
    /// Keys and common prefixes come after this one, in byte order.
    pub(crate) after: &'a str,
    /// Keys that share what comes up to it, behind the prefix, are one common prefix. Empty for none.
    pub(crate) delimiter: &'a str,
    /// The most keys and common prefixes.
    pub(crate) limit: usize,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Key(String),
    CommonPrefix(String),
}

impl Item {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Key(name) | Self::CommonPrefix(name) => name,
        }
    }
}

/// Some lines of a listing.
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// Whether more follow the last one.
    pub(crate) truncated: bool,
}

/// Lists the keys below the folder of a bucket.
pub(crate) fn list(bucket: &Path, query: &Query<'_>) -> io::Result<Page> {
    let mut page = Page {
        items: Vec::new(),
        truncated: false,
    };
    if query.limit == 0 {
        return Ok(page);
    }
    let folder = query
        .prefix
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let Some(start) = start_folder(bucket, folder) else {
        return Ok(page);
    };
    let at = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let mut walk = Walk {
        query,
        page: &mut page,
    };
    let _ = walk.folder(&start, &at)?;
    Ok(page)
}

/// The folder in which all keys of a prefix lie, if it can exist at all.
fn start_folder(bucket: &Path, folder: &str) -> Option<PathBuf> {
    if folder.is_empty() {
        return Some(bucket.to_owned());
    }
    crate::key::Key::parse(folder)
        .ok()
        .map(|folder| bucket.join(folder.as_str()))
}

struct Walk<'a> {
    query: &'a Query<'a>,
    page: &'a mut Page,
}

impl Walk<'_> {
    /// Lists what lies in one folder; `at` is the start of all its keys.
    fn folder(&mut self, folder: &Path, at: &str) -> io::Result<ControlFlow<()>> {
        for name in self.entries(folder, at)? {
            let full = format!("{at}{name}");
            let flow = match self.common_prefix(&full) {
                Some(common) => self.group(folder, &name, &full, common)?,
                None if name.ends_with('/') => self.folder(&folder.join(&name), &full)?,
                None => self.push(Item::Key(full)),
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The names in a folder that may hold an answer, in order; those of folders end in a slash.
    fn entries(&self, folder: &Path, at: &str) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = read(folder)?
            .filter(|name| name.as_ref().map_or(true, |name| self.may_hold(at, name)))
            .collect::<io::Result<_>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn may_hold(&self, at: &str, name: &str) -> bool {
        let full = format!("{at}{name}");
        let (prefix, after) = (self.query.prefix, self.query.after);
        if name.ends_with('/') {
            let in_prefix = full.starts_with(prefix) || prefix.starts_with(&full);
            in_prefix && (full.as_str() > after || after.starts_with(&full)) && full.len() < MAX_KEY
        } else {
            full.starts_with(prefix) && full.as_str() > after && full.len() <= MAX_KEY
        }
    }

    fn common_prefix(&self, full: &str) -> Option<String> {
        let (prefix, delimiter) = (self.query.prefix, self.query.delimiter);
        let rest = full
            .strip_prefix(prefix)
            .filter(|_| !delimiter.is_empty())?;
        let (head, _) = rest.split_once(delimiter)?;
        Some(format!("{prefix}{head}{delimiter}"))
    }

    fn group(
        &mut self,
        folder: &Path,
        name: &str,
        full: &str,
        common: String,
    ) -> io::Result<ControlFlow<()>> {
        let listed = common == self.query.after
            || self
                .page
                .items
                .last()
                .is_some_and(|item| item.name() == common);
        // A folder is listed only if something in it is: empty ones may lie about.
        if listed || (name.ends_with('/') && !self.holds_key(&folder.join(name), full)?) {
            return Ok(ControlFlow::Continue(()));
        }
        Ok(self.push(Item::CommonPrefix(common)))
    }

    fn holds_key(&self, folder: &Path, at: &str) -> io::Result<bool> {
        for name in read(folder)? {
            let name = name?;
            if !self.may_hold(at, &name) {
                continue;
            }
            if !name.ends_with('/')
                || self.holds_key(&folder.join(&name), &format!("{at}{name}"))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn push(&mut self, item: Item) -> ControlFlow<()> {
        if self.page.items.len() == self.query.limit {
            self.page.truncated = true;
            return ControlFlow::Break(());
        }
        self.page.items.push(item);
        ControlFlow::Continue(())
    }
}

/// The names of the files and folders in a folder, those of folders with a slash. What is neither, or no UTF-8, is no object.
fn read(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => Some(entries),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            None
        }
        Err(error) => return Err(error),
    };
    Ok(entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.and_then(|entry| name_of(&entry)).transpose()))
}

fn name_of(entry: &fs::DirEntry) -> io::Result<Option<String>> {
    let kind = entry.file_type()?;
    let Ok(mut name) = entry.file_name().into_string() else {
        return Ok(None);
    };
    if kind.is_dir() {
        name.push('/');
    }
    Ok(Some(name).filter(|_| kind.is_dir() || kind.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 9] = [
        "B", "a", "a-b", "a.txt", "a/1", "a/2/x", "a0", "b/1", "\u{e4}",
    ];

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            // `a` as file and as folder cannot both be: the file lies beside.
            for key in KEYS.iter().filter(|key| **key != "a") {
                let path = folder.0.path().join(key);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            fs::create_dir_all(folder.0.path().join("empty/inside")).unwrap();
            folder
        }

        fn names(&self, prefix: &str, after: &str, delimiter: &str, limit: usize) -> Vec<String> {
            let page = list(
                self.0.path(),
                &Query {
                    prefix,
                    after,
                    delimiter,
                    limit,
                },
            )
            .unwrap();
            page.items
                .iter()
                .map(|item| item.name().to_owned())
                .collect()
        }
    }

    #[test]
    fn keys_come_in_byte_order() {
        let mut expected: Vec<&str> = KEYS.into_iter().filter(|key| *key != "a").collect();
        expected.sort_unstable();
        assert_eq!(Folder::new().names("", "", "", 100), expected);
    }

    #[test]
    fn a_prefix_may_end_anywhere() {
        let folder = Folder::new();
        assert_eq!(folder.names("a/", "", "", 100), ["a/1", "a/2/x"]);
        assert_eq!(folder.names("a/2", "", "", 100), ["a/2/x"]);
        assert_eq!(folder.names("a.", "", "", 100), ["a.txt"]);
        for none in ["a/2/x/", "../", "a//", "/", "zzz/", "a/../a/"] {
            assert_eq!(folder.names(none, "", "", 100), [""; 0], "{none}");
        }
    }

    #[test]
    fn pages_join_without_gap_or_repetition() {
        let folder = Folder::new();
        for delimiter in ["", "/", "-"] {
            let whole = folder.names("", "", delimiter, 100);
            for size in 1..4 {
                let (mut joined, mut after) = (Vec::new(), String::new());
                loop {
                    let page = list(
                        folder.0.path(),
                        &Query {
                            prefix: "",
                            after: &after,
                            delimiter,
                            limit: size,
                        },
                    )
                    .unwrap();
                    joined.extend(page.items.iter().map(|item| item.name().to_owned()));
                    match joined.last().filter(|_| page.truncated) {
                        Some(last) => after.clone_from(last),
                        None => break,
                    }
                }
                assert_eq!(joined, whole, "delimiter {delimiter:?}, pages of {size}");
            }
        }
    }

    #[test]
    fn a_delimiter_groups_and_hides_empty_folders() {
        let folder = Folder::new();
        assert_eq!(
            folder.names("", "", "/", 100),
            ["B", "a-b", "a.txt", "a/", "a0", "b/", "\u{e4}"]
        );
        assert_eq!(folder.names("a/", "", "/", 100), ["a/1", "a/2/"]);
        assert_eq!(
            folder.names("", "", "-", 100),
            ["B", "a-", "a.txt", "a/1", "a/2/x", "a0", "b/1", "\u{e4}"]
        );
        // What comes after a key inside a group still makes the group appear.
        assert_eq!(
            folder.names("", "a/1", "/", 100),
            ["a/", "a0", "b/", "\u{e4}"]
        );
        assert_eq!(folder.names("", "a/2/x", "/", 100), ["a0", "b/", "\u{e4}"]);
    }

    #[test]
    fn links_and_foreign_names_are_no_objects() {
        let folder = Folder::new();
        std::os::unix::fs::symlink("/etc", folder.0.path().join("link")).unwrap();
        let foreign = std::ffi::OsStr::new("x").to_owned();
        let mut bytes = std::os::unix::ffi::OsStringExt::into_vec(foreign);
        bytes.push(0xff);
        let name: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
        fs::write(folder.0.path().join(name), "").unwrap();
        assert_eq!(folder.names("l", "", "", 100), [""; 0]);
        assert_eq!(folder.names("x", "", "", 100), [""; 0]);
    }
}
