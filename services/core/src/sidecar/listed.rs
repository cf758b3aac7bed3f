//! Whether the files that a session lists are there.

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization as _;

/// Listed files that have not been seen yet.
///
/// A listed name is relative to the session or to the folder of the metadata file. People write it with `./` before it
/// and on Windows with backslashes, and file systems change its Unicode form: none of that makes another file of it.
#[derive(Debug)]
pub struct Listed {
    names: Vec<Option<String>>,
    left: usize,
    /// The parts of the path of the folder that holds the metadata file.
    folder: Vec<String>,
    /// By the end of the path where a file may be: how many parts of `folder` come before it, and the place of its name.
    /// Whole paths would be many times as large as the list.
    places: HashMap<String, Vec<(usize, usize)>>,
}

impl Listed {
    /// The files to wait for: `names` as they are listed, and the path of the metadata file within the session; empty
    /// if there is none. A file that is listed several times is waited for once.
    pub fn new(names: impl IntoIterator<Item = String>, metadata_path: &str) -> Self {
        let metadata_path = normal(metadata_path);
        let folder: Vec<String> = match metadata_path.rsplit_once('/') {
            Some((folder, _)) => folder.split('/').map(str::to_owned).collect(),
            None => Vec::new(),
        };
        let mut places: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        let mut known = HashSet::new();
        let mut kept = Vec::new();
        for name in names {
            let path = normal(&name);
            if !known.insert(path.clone()) {
                continue;
            }
            for (depth, end) in listed_places(&path, folder.len()) {
                let places = places.entry(end.to_owned()).or_default();
                places.push((depth, kept.len()));
            }
            kept.push(Some(name));
        }
        Self {
            left: kept.len(),
            names: kept,
            folder,
            places,
        }
    }

    /// Notes that the file with this path within the session is there.
    pub fn saw(&mut self, path: &str) {
        let path = normal(path);
        let mut end = Some(path.as_str());
        let mut depth = 0;
        while let Some(rest) = end {
            for (_, at) in self
                .places
                .get(rest)
                .into_iter()
                .flatten()
                .filter(|place| place.0 == depth)
            {
                if self.names.get_mut(*at).and_then(Option::take).is_some() {
                    self.left -= 1;
                }
            }
            end = self
                .folder
                .get(depth)
                .and_then(|part| rest.strip_prefix(part.as_str())?.strip_prefix('/'));
            depth += 1;
        }
    }

    /// Whether every listed file has been seen.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The names that have not been seen, as and in the order in which they are listed.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }
}

/// Where a listed file may be: below how many parts of the folder that holds the metadata file, and the path from there.
fn listed_places(path: &str, depth: usize) -> Vec<(usize, &str)> {
    let (mut up, mut rest) = (0, path);
    while let Some(below) = rest.strip_prefix("../") {
        (up, rest) = (up + 1, below);
    }
    match depth.checked_sub(up) {
        Some(0) => vec![(0, rest)],
        Some(depth) if up == 0 => vec![(0, rest), (depth, rest)],
        Some(depth) => vec![(depth, rest)],
        None => Vec::new(),
    }
}

/// A path in the one form in which paths are compared.
fn normal(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "..")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/").nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(names: &[&str], metadata_path: &str, there: &[&str]) -> Vec<String> {
        let names = names.iter().map(|name| (*name).to_owned());
        let mut listed = Listed::new(names, metadata_path);
        for path in there {
            listed.saw(path);
        }
        let missing: Vec<String> = listed.missing().map(str::to_owned).collect();
        assert_eq!(listed.is_over(), missing.is_empty());
        missing
    }

    #[test]
    fn a_file_is_known_however_its_name_is_written() {
        for name in [
            "signals/eeg.bin",
            "./signals/eeg.bin",
            "signals\\eeg.bin",
            ".\\signals\\eeg.bin",
            "signals/./eeg.bin",
            "other/../signals/eeg.bin",
        ] {
            let nothing: [&str; 0] = [];
            assert_eq!(missing(&[name], "info.txt", &["signals/eeg.bin"]), nothing);
            assert_eq!(missing(&[name], "", &["eeg.bin"]), [name]);
        }
        let (composed, decomposed) = ("\u{e9}.bin", "e\u{301}.bin");
        assert!(missing(&[composed], "", &[decomposed]).is_empty());
        assert!(missing(&[decomposed], "", &[composed]).is_empty());
        // On Linux a name may hold a backslash.
        assert!(missing(&["a\\b.bin"], "", &["a\\b.bin"]).is_empty());
    }

    #[test]
    fn names_count_from_the_session_or_from_the_folder_of_the_metadata() {
        let names = ["eeg.bin", "day/a.bin", "../top.bin"];
        let there = ["day/eeg.bin", "day/a.bin", "top.bin"];
        assert!(missing(&names, "day/info.txt", &there).is_empty());
        assert!(
            missing(
                &["eeg.bin", "day/eeg.bin"],
                "day/info.txt",
                &["day/eeg.bin"]
            )
            .is_empty()
        );
        for name in ["../eeg.bin", "/eeg.bin", "EEG.bin", "day"] {
            let there = ["eeg.bin", "day/eeg.bin"];
            assert_eq!(missing(&[name], "info.txt", &there), [name]);
        }
    }

    #[test]
    fn a_file_that_is_listed_twice_is_one_file() {
        let names = ["a.bin", "a.bin", "./a.bin", "b.bin"];
        assert_eq!(missing(&names, "", &["a.bin"]), ["b.bin"]);
        assert_eq!(missing(&names, "", &[]), ["a.bin", "b.bin"]);
    }
}
