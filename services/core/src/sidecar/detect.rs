//! Which format a text is in, told by its lines.

use super::Format;
use super::error::{Problem, SidecarError};
use super::lines::{is_comment, section, split_pair};

/// The one format that a name says, if it says one.
pub(super) fn named(path: &str) -> Option<&'static [Format]> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (_, extension) = name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "json" => Some(&[Format::Json]),
        "yaml" | "yml" => Some(&[Format::Yaml]),
        "toml" => Some(&[Format::Toml]),
        "ini" | "cfg" => Some(&[Format::Ini]),
        _ => None,
    }
}

/// The formats that the text may be in, the likeliest first; the first that reads it is taken.
///
/// Plain `key: value` and `key = value` lines are valid or nearly valid in several formats: they are read as lines
/// unless something on them belongs to another format.
pub(super) fn candidates(text: &str) -> Result<&'static [Format], SidecarError> {
    let mut lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !is_comment(line.trim()));
    let Some((number, first)) = lines.next() else {
        return Err(Problem::Empty.into());
    };
    let start = first.trim();
    if start.starts_with('{') {
        return Ok(object(text));
    }
    let header = text.lines().any(is_header);
    let list = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if start.starts_with('[') && (!header || list()) {
        let found = "a list";
        return Err(SidecarError::at(number, Problem::NotMapping { found }));
    }
    if header {
        return Ok(&[Format::Toml, Format::Ini]);
    }
    let mut tells = Tells::default();
    for line in text.lines().filter(|line| !is_comment(line.trim())) {
        tells.look_at(line);
    }
    Ok(tells.candidates())
}

/// `{"key"` is JSON, `{key` is YAML's flow mapping. A JSON file with a mistake is not tried as YAML, which takes some
/// mistakes for values.
fn object(text: &str) -> &'static [Format] {
    let inner = text.split_once('{').map_or("", |(_, inner)| inner);
    match inner.trim_start().chars().next() {
        None | Some('"' | '}') => &[Format::Json],
        _ => &[Format::Yaml],
    }
}

/// A section of INI or TOML, or TOML's `[[list of sections]]`, at the start of its line.
fn is_header(line: &str) -> bool {
    let listed = line
        .strip_prefix("[[")
        .and_then(|rest| rest.split_once("]]"))
        .is_some_and(|(name, rest)| !name.contains(['[', ',']) && is_comment(rest.trim()));
    listed || section(line).is_some()
}

/// What the lines so far tell.
#[derive(Default)]
struct Tells {
    /// Only YAML looks like this.
    yaml: bool,
    /// YAML may look like this, and so may a text.
    maybe_yaml: bool,
    /// Likewise for TOML.
    maybe_toml: bool,
    /// An anchor was seen, so `*name` is an alias.
    anchor: bool,
    previous: Option<Previous>,
}

/// What matters of the line before.
struct Previous {
    indent: usize,
    /// Whether an indented line below belongs to its value.
    open: bool,
}

impl Tells {
    fn look_at(&mut self, line: &str) {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        if let Some(previous) = &self.previous {
            let deeper = indent > previous.indent;
            self.yaml |= deeper && previous.open;
            self.maybe_yaml |= deeper;
        } else {
            self.yaml |= trimmed.starts_with("%YAML");
        }
        self.yaml |= trimmed == "---" || trimmed.starts_with("--- ");
        self.yaml |= trimmed == "-" || trimmed.starts_with("- ") || trimmed.starts_with("? ");
        let open = match split_pair(trimmed) {
            Some((_, ':', value)) => self.yaml_value(value),
            Some((_, _, value)) => {
                let block = value.starts_with("\"\"\"") || value.starts_with("'''");
                self.maybe_toml |= block || value.starts_with(['[', '{']);
                false
            }
            None => false,
        };
        self.previous = Some(Previous { indent, open });
    }

    /// Looks at what follows `key:`; tells whether the value goes on below.
    fn yaml_value(&mut self, value: &str) -> bool {
        self.anchor |= is_reference(value, '&');
        self.yaml |= is_reference(value, '&') || (self.anchor && is_reference(value, '*'));
        self.maybe_yaml |= value.starts_with(['[', '{', '!']);
        self.maybe_yaml |= ['"', '\''].iter().any(|quote| is_left_open(value, *quote));
        value.is_empty() || value.starts_with("# ") || is_block(value)
    }

    fn candidates(&self) -> &'static [Format] {
        match (self.yaml, self.maybe_yaml, self.maybe_toml) {
            (true, _, _) => &[Format::Yaml],
            (false, true, true) => &[Format::Toml, Format::Yaml, Format::KeyValue],
            (false, true, false) => &[Format::Yaml, Format::KeyValue],
            (false, false, true) => &[Format::Toml, Format::KeyValue],
            (false, false, false) => &[Format::KeyValue],
        }
    }
}

/// Whether the value starts with `quote` and has no other, so that it may go on below.
fn is_left_open(value: &str, quote: char) -> bool {
    value
        .strip_prefix(quote)
        .is_some_and(|rest| !rest.contains(quote))
}

/// `&name` or `*name`, alone or before a value.
fn is_reference(value: &str, mark: char) -> bool {
    let Some(name) = value.strip_prefix(mark) else {
        return false;
    };
    let word = name.split_whitespace().next().unwrap_or("");
    let is_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-');
    name.starts_with(is_name) && word.chars().all(is_name)
}

/// `|` and `>` with their modifiers start a block of text.
fn is_block(value: &str) -> bool {
    let Some(modifiers) = value.strip_prefix(['|', '>']) else {
        return false;
    };
    let modifiers = modifiers.split_whitespace().next().unwrap_or("");
    modifiers.len() <= 2
        && modifiers
            .chars()
            .all(|char| matches!(char, '+' | '-' | '0'..='9'))
}
