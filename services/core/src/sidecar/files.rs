//! The list of a session's files, in the forms in which people write it.

use std::collections::HashSet;

use serde_json::Value as Json;

/// Names of the key, in lower case. `file` is too common a word to be taken below the top level.
const KEYS: [&str; 5] = ["files", "file_list", "filelist", "data_files", "file"];

/// Whether the key speaks of one file, whose name may hold blanks.
pub(super) fn is_singular(key: &str) -> bool {
    key.eq_ignore_ascii_case("file")
}

/// Whether the attribute `key` (with its parents) is the file list.
pub(super) fn is_files_key(key: &str) -> bool {
    let (parent, name) = match key.rsplit_once('.') {
        Some((parent, name)) => (Some(parent), name),
        None => (None, key),
    };
    let listed = KEYS.iter().any(|known| known.eq_ignore_ascii_case(name));
    match parent {
        None => listed,
        Some(parent) => listed && !parent.contains('.') && !is_singular(name),
    }
}

/// Names in the order in which they came, each once.
#[derive(Debug, Default)]
pub(super) struct FileList {
    names: Vec<String>,
    seen: HashSet<String>,
}

impl FileList {
    pub(super) fn add(&mut self, name: &str) {
        if !name.is_empty() && self.seen.insert(name.to_owned()) {
            self.names.push(name.to_owned());
        }
    }

    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}

/// The file's name in an item of a list: a text, or an object that has one.
pub(super) fn item_name(item: &Json) -> Option<&str> {
    match item {
        Json::String(name) => Some(name),
        Json::Object(object) => ["name", "path", "file"]
            .iter()
            .find_map(|key| object.get(*key)?.as_str()),
        _ => None,
    }
}

/// The names in a text: one a line if it has lines, else separated by commas, else by blanks if `blanks` says so.
/// Names in quotes may hold the separator.
pub(super) fn split_names(text: &str, blanks: bool) -> Vec<String> {
    let text = text.trim();
    let listed = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    let text = listed.unwrap_or(text);
    if text.contains('\n') {
        let lines = text.lines().map(|line| line.trim().trim_end_matches(','));
        return lines.map(|line| unquoted(line).to_owned()).collect();
    }
    let commas = pieces(text, |char| char == ',');
    let names = if listed.is_some() || commas.len() > 1 || !blanks {
        commas
    } else {
        pieces(text, char::is_whitespace)
    };
    names
        .into_iter()
        .map(|name| unquoted(name.trim()).to_owned())
        .collect()
}

/// Splits at separators outside quotes. A quote counts only at the start of a piece: `it's.bin` is a name.
fn pieces(text: &str, separator: impl Fn(char) -> bool) -> Vec<&str> {
    let mut open: Option<char> = None;
    let mut at_start = true;
    text.split(|char: char| {
        match open {
            Some(quote) if char == quote => open = None,
            Some(_) => {}
            None if separator(char) => {
                at_start = true;
                return true;
            }
            None if at_start && matches!(char, '"' | '\'') => open = Some(char),
            None => {}
        }
        at_start = at_start && char.is_whitespace();
        false
    })
    .collect()
}

fn unquoted(name: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = name
            .strip_prefix(quote)
            .and_then(|inner| inner.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_by_what_separates_them() {
        for (text, names) in [
            ("a.bin", vec!["a.bin"]),
            ("a.bin b.bin\tc.bin", vec!["a.bin", "b.bin", "c.bin"]),
            ("a b.bin, c.bin", vec!["a b.bin", "c.bin"]),
            ("my file.bin,", vec!["my file.bin", ""]),
            ("\"a b.bin\" c.bin", vec!["a b.bin", "c.bin"]),
            ("'a, b.bin', it's.bin", vec!["a, b.bin", "it's.bin"]),
            ("[a b.bin]", vec!["a b.bin"]),
            ("[\"a.bin\", 'b.bin']", vec!["a.bin", "b.bin"]),
            ("a b.bin\nc, d.bin\n", vec!["a b.bin", "c, d.bin"]),
            ("\"open", vec!["\"open"]),
        ] {
            assert_eq!(split_names(text, true), names, "{text}");
        }
        assert_eq!(split_names("a b.bin", false), ["a b.bin"]);
        assert_eq!(split_names("a b.bin, c.bin", false), ["a b.bin", "c.bin"]);
        assert!(split_names("  ", true).iter().all(String::is_empty));
    }

    #[test]
    fn the_key_is_known_in_any_case_but_not_anywhere() {
        for key in ["files", "FILES", "File_List", "file", "session.files"] {
            assert!(is_files_key(key), "{key}");
        }
        for key in ["profiles", "camera.file", "a.b.files", "files.eeg"] {
            assert!(!is_files_key(key), "{key}");
        }
    }

    #[test]
    fn a_name_is_listed_once() {
        let mut list = FileList::default();
        for name in ["b", "a", "", "b"] {
            list.add(name);
        }
        assert_eq!(list.into_names(), ["b", "a"]);
    }
}
