//! JSON values as YAML that every reader takes for the same: texts that some version of YAML has for a truth value, a number or a date
//! (`yes`, `1.10`, `2026-11-20`) are in quotes.

use serde_json::Value as Json;

/// A document, with a line break at its end.
pub(crate) fn yaml(json: &Json) -> String {
    let mut text = String::new();
    match json {
        Json::Object(fields) if !fields.is_empty() => block(&mut text, json, 0),
        Json::Array(items) if !items.is_empty() => block(&mut text, json, 0),
        _ => {
            value(&mut text, json, 0);
            text = text.trim_start().to_owned();
        }
    }
    text
}

// The fields or items of what has any, one below the other.
fn block(text: &mut String, json: &Json, indent: usize) {
    match json {
        Json::Object(fields) => {
            for (name, field) in fields {
                text.push_str(&" ".repeat(indent));
                text.push_str(&scalar(name));
                text.push(':');
                value(text, field, indent);
            }
        }
        Json::Array(items) => {
            for item in items {
                text.push_str(&" ".repeat(indent));
                text.push('-');
                match is_block(item) {
                    // The first field, or item, goes on the line of the dash.
                    true => {
                        let mut inner = String::new();
                        block(&mut inner, item, indent + 2);
                        text.push(' ');
                        text.push_str(inner.trim_start());
                    }
                    false => value(text, item, indent),
                }
            }
        }
        _ => {}
    }
}

fn is_block(json: &Json) -> bool {
    match json {
        Json::Object(fields) => !fields.is_empty(),
        Json::Array(items) => !items.is_empty(),
        _ => false,
    }
}

// What follows a colon or a dash.
fn value(text: &mut String, json: &Json, indent: usize) {
    match json {
        Json::Array(_) if is_block(json) => {
            text.push('\n');
            block(text, json, indent);
        }
        Json::Object(_) if is_block(json) => {
            text.push('\n');
            block(text, json, indent + 2);
        }
        Json::String(lines) if is_literal(lines) => literal(text, lines, indent + 2),
        Json::String(one) => text.push_str(&format!(" {}\n", scalar(one))),
        Json::Number(number) => text.push_str(&format!(" {}\n", exponent(&number.to_string()))),
        // `{}`, `[]`, true, false and null are the same in both.
        other => text.push_str(&format!(" {other}\n")),
    }
}

// `1e20` is a text to some readers, `1.0e+20` a number to all.
fn exponent(number: &str) -> String {
    match number.split_once('e') {
        Some((digits, power)) => {
            let point = if digits.contains('.') { "" } else { ".0" };
            let sign = if power.starts_with(['+', '-']) {
                ""
            } else {
                "+"
            };
            format!("{digits}{point}e{sign}{power}")
        }
        None => number.to_owned(),
    }
}

// Texts of several lines, such as a program: as they are, below `|`.
fn is_literal(text: &str) -> bool {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && !text.ends_with('\n')
        && text
            .chars()
            .all(|c| c == '\n' || c == '\t' || is_printed(c))
}

fn literal(text: &mut String, lines: &str, indent: usize) {
    let keep = if lines.ends_with('\n') { "" } else { "-" };
    text.push_str(&format!(" |{keep}\n"));
    for line in lines.lines() {
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(line);
        }
        text.push('\n');
    }
}

fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if is_printed(c) => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

// What YAML takes as it is; marks at the start of a file and line ends beyond ASCII are written as escapes.
fn is_printed(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}'
        )
}

// Narrower than YAML allows: a letter first, so that it is no number and no date, and nothing that means something elsewhere.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let starts = text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '/'));
    let fits = |c: char| c.is_alphanumeric() || " _-./:+@(),=<>;$".contains(c);
    starts
        && text.chars().all(fits)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_that_some_reader_takes_for_something_else_are_in_quotes() {
        for text in [
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "TRUE",
            "null",
            "~",
            "",
            "2026-11-20",
            "1.10",
            "007",
            "0x1f",
            "1e3",
            "20210229_161221",
            "12:30:45",
            ".inf",
            "- a",
            "a: b",
            "a #b",
            "a:",
            " a",
            "*x",
            "{a}",
            "\u{1b}[0m",
            "\u{feff}a",
        ] {
            let written = yaml(&json!({ "a": text }));
            assert!(
                written.starts_with("a: \"") && written.ends_with("\"\n"),
                "{written}"
            );
            let read: Json = serde_yaml_ng::from_str(&written).unwrap();
            assert_eq!(read["a"], text, "{written}");
        }
        for text in [
            "X2",
            "projects/p/datasets/d",
            "image/jpeg",
            "http://127.0.0.1:7070",
            "battery ran out (twice)",
            "Ren\u{e9}",
        ] {
            assert_eq!(yaml(&json!(text)), format!("{text}\n"));
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let all = json!({
            "empty": {}, "none": [], "null": null, "true": true, "n": -1.5, "big": 1e20, "small": 1e-7,
            "list": ["a", ["b", "c"], { "d": 1, "e": [{ "f": "g" }] }, [], {}],
            "program": "import os\n\nif os:\n    print(\"x\")  \n", "cut": "a\nb", "ends": "a\n\n", "starts": "  a\nb",
            "cr": "a\r\nb", "1": "one", "a b": "c",
        });
        let written = yaml(&all);
        let read: Json = serde_yaml_ng::from_str(&written).unwrap();
        assert_eq!(read, all, "{written}");
        assert!(
            written.contains("program: |\n  import os\n\n  if os:\n"),
            "{written}"
        );
        assert!(
            written.contains("\"true\": true\n") && written.contains("big: 1.0e+20\n"),
            "{written}"
        );
        assert_eq!(
            yaml(&json!([{ "a": 1, "b": ["c"] }])),
            "- a: 1\n  b:\n  - c\n"
        );
    }
}
