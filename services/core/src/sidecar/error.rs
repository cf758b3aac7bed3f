//! What can be wrong with a metadata file.

use super::{Format, MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_KEY, MAX_TEXT};

/// A metadata file that cannot be taken: `line 4: attribute "fatigue" comes twice: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarError {
    /// Counted from 1; `None` where the file as a whole is wrong.
    pub line: Option<usize>,
    pub problem: Problem,
}

impl SidecarError {
    pub(super) fn at(line: usize, problem: Problem) -> Self {
        Self {
            line: Some(line),
            problem,
        }
    }
}

impl From<Problem> for SidecarError {
    fn from(problem: Problem) -> Self {
        Self {
            line: None,
            problem,
        }
    }
}

impl std::error::Error for SidecarError {}

impl std::fmt::Display for SidecarError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.problem),
            None => write!(f, "{}", self.problem),
        }
    }
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(
        "metadata file has {bytes} bytes, at most {MAX_BYTES} are read: keep bulk data in files of its own"
    )]
    TooLarge { bytes: u64 },
    #[error("metadata file says nothing: write key: value lines, JSON, YAML, TOML or INI")]
    Empty,
    #[error(
        "metadata file is binary, not text (NUL at byte {offset}): name the text file that describes the session"
    )]
    Binary { offset: usize },
    #[error("byte {column} of the line (0x{byte:02x}) is not UTF-8: save the file as UTF-8")]
    NotUtf8 { column: usize, byte: u8 },
    #[error("the byte order mark says UTF-16, but this is not: save the file as UTF-8")]
    NotUtf16,
    #[error("metadata is {found}: write keys and their values instead")]
    NotMapping { found: &'static str },
    #[error(
        "no \":\" or \"=\" between a key and its value in {text:?}: write key: value, or # before a comment"
    )]
    NoSeparator { text: String },
    #[error("not valid {format}: {message}")]
    Syntax { format: Format, message: String },
    #[error(
        "a YAML alias (*name) is refused: write the value itself, or put it in quotes if it is text"
    )]
    Alias,
    #[error("the YAML tag {tag:?} is refused: write the value without it")]
    Tag { tag: String },
    #[error("key {key:?} has {char:?}: use letters, digits, \"_\", \"-\" and \".\"")]
    KeyCharacter { key: String, char: char },
    #[error("key {key:?} is empty or has an empty part: give each value a name")]
    KeyEmpty { key: String },
    #[error("key {key:?}... is longer than {MAX_KEY} bytes: shorten it")]
    KeyLong { key: String },
    #[error("a key is not plain text: write keys as single words")]
    KeyNotText,
    #[error("attribute {key:?} comes twice: remove one")]
    Duplicate { key: String },
    #[error("nested deeper than {MAX_DEPTH} levels: flatten it")]
    TooDeep,
    #[error("more than {MAX_ATTRIBUTES} attributes: keep bulk data in files of its own")]
    TooManyAttributes,
    #[error(
        "text of {key:?} has {bytes} bytes, at most {MAX_TEXT} are kept: move it to a file of its own"
    )]
    TextLong { key: String, bytes: usize },
    #[error("text of {key:?} holds a NUL character: remove it")]
    Nul { key: String },
    #[error("{key:?} should list file names, but {found}")]
    Files { key: String, found: &'static str },
}

impl Problem {
    pub(super) fn syntax(format: Format, message: impl Into<String>) -> Self {
        Self::Syntax {
            format,
            message: message.into(),
        }
    }

    /// Whether the text may make sense in another format.
    pub(super) fn is_syntax(&self) -> bool {
        matches!(
            self,
            Self::Syntax { .. } | Self::NoSeparator { .. } | Self::NotMapping { .. }
        )
    }
}

/// The start of a text for a message: hostile files have long lines.
pub(super) fn excerpt(text: &str) -> String {
    let (start, more) = crate::excerpt::excerpt(text, 60);
    format!("{start}{more}")
}
