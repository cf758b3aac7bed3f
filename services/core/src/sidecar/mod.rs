//! The metadata file of a session: one text file, read into typed attributes and the list of the session's files.
//!
//! The name tells the format, where it names one (`.json`, `.yaml`, `.yml`, `.toml`, `.ini`, `.cfg`), and else the content:
//! `key: value` or `key = value` lines, JSON, YAML, TOML, INI.
//! The same line means the same in all of them:
//!
//! - Unquoted text is typed by [`Value::infer`]: numbers, `true` and `false`, RFC 3339 timestamps with a zone, else
//!   text. Quoted text stays text, but for JSON, whose only way to write a timestamp is a string.
//! - Keys are trimmed, blanks within become `_`, and letters, digits, `_`, `-` and `.` are allowed. Nested keys are
//!   joined with dots, INI sections likewise. A key that comes twice is an error.
//! - `files` (also `file_list`, `filelist`, `data_files`, in any case, at the top level or one section below it, and
//!   `file` at the top level) names the session's files: a list of texts, or of objects with `name`, `path` or `file`,
//!   or a text. A text holds a name a line, or names separated by commas, or, if it is not in quotes, by blanks
//!   (`files: a.bin "b c.bin"`). The key may come several times. A number there is an attribute.
//! - Any other list is an attribute of type text: the list as compact JSON, such as `["C3","C4"]`.
//! - JSON's and YAML's null is left out.
//! - Lines that start with `#`, `;` or `//` are comments; so is what follows ` # ` in an unquoted value.
//!
//! What is read is bounded: see the constants. YAML aliases are refused, because a few lines of them can stand for
//! any amount of data.

mod collect;
mod decode;
mod detect;
mod error;
mod files;
mod guess;
mod json;
mod key;
mod lines;
mod listed;
#[cfg(test)]
mod tests;
mod toml;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

pub use error::{Problem, SidecarError};
pub use guess::{GuessError, guess};
pub use key::attribute_key;
pub use listed::Listed;

use crate::value::Value;
use collect::Collector;

/// Largest metadata file, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Most attributes in one file.
pub const MAX_ATTRIBUTES: usize = 1000;
/// Longest text of an attribute, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;
/// Longest attribute key with its dots, in bytes.
pub const MAX_KEY: usize = 128;
/// Deepest nesting, the file's top level included.
pub const MAX_DEPTH: usize = 8;

/// What a metadata file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    pub format: Format,
    pub attributes: BTreeMap<String, Value>,
    /// The files that the session should have, each once, in the order in which they are listed; `None` if the
    /// metadata lists none.
    pub files: Option<Vec<String>>,
}

/// The format of a metadata file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lines of `key: value` or `key = value`.
    KeyValue,
    Json,
    Yaml,
    Toml,
    /// `key = value` lines below `[section]` headers.
    Ini,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyValue => "key-value text",
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
            Self::Ini => "INI",
        })
    }
}

/// Refuses a metadata file by its size, before it is read into memory.
///
/// # Errors
/// [`Problem::TooLarge`] above [`MAX_BYTES`].
pub fn check_size(bytes: u64) -> Result<(), SidecarError> {
    if bytes > MAX_BYTES as u64 {
        return Err(Problem::TooLarge { bytes }.into());
    }
    Ok(())
}

/// Reads a metadata file by its path or name: UTF-8, or UTF-16 with a byte order mark.
///
/// # Errors
/// Says the line and what to do; each [`Problem`] is distinct. A file whose name says a format must be of it. Time and memory are bounded by
/// the size of the input.
pub fn parse(path: &str, bytes: &[u8]) -> Result<Metadata, SidecarError> {
    check_size(bytes.len() as u64)?;
    let text = decode::decode(bytes)?;
    // Told first in any case: what says nothing, or is no mapping, is named the same way in every format.
    let likely = detect::candidates(&text)?;
    let candidates = detect::named(path).unwrap_or(likely);
    let mut failure: Option<SidecarError> = None;
    for format in candidates {
        let error = match parse_as(&text, *format) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        let last = !error.problem.is_syntax();
        // The format that made sense of most lines is most likely the one that was meant.
        if failure.as_ref().is_none_or(|best| best.line <= error.line) {
            failure = Some(error);
        }
        if last {
            break;
        }
    }
    Err(failure.unwrap_or_else(|| Problem::Empty.into()))
}

fn parse_as(text: &str, format: Format) -> Result<Metadata, SidecarError> {
    let mut collector = Collector::default();
    match format {
        Format::KeyValue | Format::Ini => lines::read(text, format, &mut collector)?,
        Format::Json => json::read(text, &mut collector)?,
        Format::Yaml => yaml::read(text, &mut collector)?,
        Format::Toml => toml::read(text, &mut collector)?,
    }
    Ok(collector.finish(format))
}
