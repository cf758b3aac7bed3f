//! Lines of `key: value` and `key = value`, below `[section]` headers or without.

use std::borrow::Cow;

use super::Format;
use super::collect::Collector;
use super::error::{Problem, SidecarError, excerpt};
use crate::value::Value;

pub(super) fn read(
    text: &str,
    format: Format,
    collector: &mut Collector,
) -> Result<(), SidecarError> {
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if is_comment(line) {
            continue;
        }
        let taken = match section(line) {
            Some(name) if format == Format::Ini => collector.section(name),
            _ => pair(line, format, collector),
        };
        taken.map_err(|problem| SidecarError::at(number, problem))?;
    }
    Ok(())
}

/// Whether a trimmed line says nothing.
pub(super) fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', ';']) || line.starts_with("//")
}

/// The name in a `[section]` header, which may be followed by a comment.
pub(super) fn section(line: &str) -> Option<&str> {
    let (name, rest) = line.strip_prefix('[')?.split_once(']')?;
    let listed = name.contains([',', '"', '\'', '[', ']']) || !is_comment(rest.trim());
    (!listed).then(|| name.trim())
}

/// Key, separator and value of a line; the first `:` or `=` separates. A key in quotes may hold them.
pub(super) fn split_pair(line: &str) -> Option<(&str, char, &str)> {
    for quote in ['"', '\''] {
        let Some((key, rest)) = line
            .strip_prefix(quote)
            .and_then(|inner| inner.split_once(quote))
        else {
            continue;
        };
        let rest = rest.trim_start();
        let separator = rest.chars().next().filter(|char| is_separator(*char))?;
        return Some((key, separator, rest.strip_prefix(separator)?.trim()));
    }
    let at = line.find(is_separator)?;
    let (key, rest) = line.split_at_checked(at)?;
    let separator = rest.chars().next()?;
    Some((key.trim(), separator, rest.strip_prefix(separator)?.trim()))
}

fn is_separator(char: char) -> bool {
    matches!(char, ':' | '=')
}

fn pair(line: &str, format: Format, collector: &mut Collector) -> Result<(), Problem> {
    let Some((key, _, value)) = split_pair(line) else {
        return Err(Problem::NoSeparator {
            text: excerpt(line),
        });
    };
    if let Some(text) = quoted(value, format)? {
        return collector.put_quoted(key, text.into_owned());
    }
    let value = without_comment(value, format);
    if value.starts_with('[') && !value.ends_with(']') && collector.is_files(key) {
        let message = r#"missing the closing "]""#;
        return Err(Problem::syntax(format, message));
    }
    collector.put(key, Value::infer(value))
}

/// The text in quotes, if the whole value is in quotes; a comment may follow.
///
/// In double quotes `\"` and `\\` are escapes, in single ones `''`. Other backslashes stay: `"C:\data\new"`.
fn quoted(value: &str, format: Format) -> Result<Option<Cow<'_, str>>, Problem> {
    let Some(quote) = value
        .chars()
        .next()
        .filter(|char| matches!(char, '"' | '\''))
    else {
        return Ok(None);
    };
    let inner = value.strip_prefix(quote).unwrap_or(value);
    let Some((text, rest)) = closing(inner, quote) else {
        // An apostrophe may start a text (`'tis`), a double quote that is left open is a mistake.
        return match quote {
            '"' => Err(Problem::syntax(format, r#"missing the closing ""#)),
            _ => Ok(None),
        };
    };
    let rest = rest.trim();
    Ok((rest.is_empty() || is_comment(rest)).then_some(text))
}

/// Text up to the closing quote with escapes resolved, and what follows.
fn closing(inner: &str, quote: char) -> Option<(Cow<'_, str>, &str)> {
    let mut text = String::new();
    let mut rest = inner;
    loop {
        let at = rest.find([quote, '\\'])?;
        let (before, after) = rest.split_at_checked(at)?;
        text.push_str(before);
        let mut chars = after.chars();
        let first = chars.next()?;
        let second = chars.clone().next();
        let escape = match quote {
            '"' => first == '\\' && matches!(second, Some('"' | '\\')),
            _ => first == quote && second == Some(quote),
        };
        if escape {
            text.extend(second);
            chars.next();
        } else if first == quote {
            return Some((Cow::Owned(text), chars.as_str()));
        } else {
            text.push(first);
        }
        rest = chars.as_str();
    }
}

/// Longest text, in bytes, that is looked at as a number, boolean or timestamp before a comment.
const MAX_TYPED: usize = 64;

/// The value without a comment at its end.
///
/// A text is cut only at ` # `, so that `C3 #2` and `#ff0000` stay whole; what would be a number, a boolean or a
/// timestamp without its comment is cut at ` #`, and in INI at ` ;`.
fn without_comment(value: &str, format: Format) -> &str {
    let marks: &[char] = match format {
        Format::Ini => &['#', ';'],
        _ => &['#'],
    };
    let mut previous = ' ';
    for (at, char) in value.char_indices() {
        if marks.contains(&char) && previous.is_whitespace() {
            let (before, after) = value.split_at_checked(at).unwrap_or((value, ""));
            let before = before.trim_end();
            let spaced = after.chars().nth(1).is_none_or(char::is_whitespace);
            let typed = || !matches!(Value::infer(before), Value::Text(_));
            if spaced || (before.len() <= MAX_TYPED && typed()) {
                return before;
            }
        }
        previous = char;
    }
    value
}
