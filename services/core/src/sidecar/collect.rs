//! Gathers attributes and file names from whichever format, and keeps the limits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::error::Problem;
use super::files::{FileList, is_files_key, is_singular, item_name, split_names};
use super::key::{attribute_key, check_length};
use super::{Format, MAX_ATTRIBUTES, MAX_DEPTH, MAX_TEXT, Metadata};
use crate::value::Value;

#[derive(Default)]
pub(super) struct Collector {
    attributes: BTreeMap<String, Value>,
    files: Option<FileList>,
    /// Keys of maps, so that one that comes twice is seen.
    maps: BTreeSet<String>,
    /// Dotted key of the map that is open.
    path: String,
    /// Length of `path` before each open map.
    parents: Vec<usize>,
}

impl Collector {
    /// Opens the map at `key` of the map that is open.
    pub(super) fn enter(&mut self, key: &str) -> Result<(), Problem> {
        let full = self.full_key(key)?;
        if self.attributes.contains_key(&full) || self.maps.contains(&full) {
            return Err(Problem::Duplicate { key: full });
        }
        if self.depth() >= MAX_DEPTH {
            return Err(Problem::TooDeep);
        }
        if self.maps.len() >= MAX_ATTRIBUTES {
            return Err(Problem::TooManyAttributes);
        }
        self.maps.insert(full.clone());
        self.parents.push(self.path.len());
        self.path = full;
        Ok(())
    }

    /// Closes the map that was opened last.
    pub(super) fn leave(&mut self) {
        let length = self.parents.pop().unwrap_or(0);
        self.path.truncate(length);
    }

    /// Opens an INI section in place of the one before; sections may be continued later.
    pub(super) fn section(&mut self, name: &str) -> Result<(), Problem> {
        self.path.clear();
        self.path = self.full_key(name)?;
        Ok(())
    }

    /// Nesting of the map that is open: 1 for the file's top level.
    pub(super) fn depth(&self) -> usize {
        self.parents.len() + 1
    }

    /// Whether `key` in the open map is the list of files.
    pub(super) fn is_files(&self, key: &str) -> bool {
        self.full_key(key).is_ok_and(|full| is_files_key(&full))
    }

    /// A value at `key` of the open map that stood without quotes.
    pub(super) fn put(&mut self, key: &str, value: Value) -> Result<(), Problem> {
        let full = self.full_key(key)?;
        match value {
            Value::Text(text) if is_files_key(&full) => {
                self.names(full, &text, !is_singular(key.trim()))
            }
            value => self.insert(full, value),
        }
    }

    /// A text at `key` of the open map that stood in quotes: if it lists files, their names may hold blanks.
    pub(super) fn put_quoted(&mut self, key: &str, text: String) -> Result<(), Problem> {
        let full = self.full_key(key)?;
        if is_files_key(&full) {
            return self.names(full, &text, false);
        }
        self.insert(full, Value::Text(text))
    }

    fn names(&mut self, key: String, text: &str, blanks: bool) -> Result<(), Problem> {
        if text.contains('\0') {
            return Err(Problem::Nul { key });
        }
        let files = self.files.get_or_insert_default();
        for name in split_names(text, blanks) {
            files.add(&name);
        }
        Ok(())
    }

    fn insert(&mut self, key: String, value: Value) -> Result<(), Problem> {
        if let Value::Text(text) = &value {
            if text.contains('\0') {
                return Err(Problem::Nul { key });
            }
            if text.len() > MAX_TEXT {
                let bytes = text.len();
                return Err(Problem::TextLong { key, bytes });
            }
        }
        if self.attributes.contains_key(&key) || self.maps.contains(&key) {
            return Err(Problem::Duplicate { key });
        }
        if self.attributes.len() >= MAX_ATTRIBUTES {
            return Err(Problem::TooManyAttributes);
        }
        self.attributes.insert(key, value);
        Ok(())
    }

    /// A list at `key` of the open map: files, or an attribute that holds the list as JSON.
    pub(super) fn put_list(&mut self, key: &str, items: Vec<Json>) -> Result<(), Problem> {
        let full = self.full_key(key)?;
        if items.iter().any(|item| too_deep(item, self.depth() + 1)) {
            return Err(Problem::TooDeep);
        }
        if !is_files_key(&full) {
            return self.insert(full, Value::Text(Json::Array(items).to_string()));
        }
        let files = self.files.get_or_insert_default();
        for item in &items {
            let found = "has an item that is neither a text nor an object with a name";
            match item_name(item) {
                Some(name) if name.contains('\0') => return Err(Problem::Nul { key: full }),
                Some(name) => files.add(name),
                None => return Err(Problem::Files { key: full, found }),
            }
        }
        Ok(())
    }

    pub(super) fn finish(self, format: Format) -> Metadata {
        Metadata {
            format,
            attributes: self.attributes,
            files: self.files.map(FileList::into_names),
        }
    }

    fn full_key(&self, key: &str) -> Result<String, Problem> {
        let key = attribute_key(key)?;
        if self.path.is_empty() {
            return Ok(key);
        }
        let full = format!("{}.{key}", self.path);
        check_length(&full)?;
        Ok(full)
    }
}

/// Whether a list's item at `depth` nests beyond the limit.
fn too_deep(item: &Json, depth: usize) -> bool {
    match item {
        Json::Array(items) => {
            depth >= MAX_DEPTH || items.iter().any(|inner| too_deep(inner, depth + 1))
        }
        Json::Object(map) => {
            depth >= MAX_DEPTH || map.values().any(|inner| too_deep(inner, depth + 1))
        }
        _ => false,
    }
}
