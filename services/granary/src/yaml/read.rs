//! From YAML text to JSON values. What YAML can say and JSON cannot is refused.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use granary_core::{Error, Result};
use serde::Deserialize as _;
use serde_json::{Map, Value as Json};
use serde_yaml_ng::Value as Yaml;

use crate::{
    failure::{Failure, Outcome},
    human,
};

/// The largest file, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// The file, and which document of it if it has several.
    pub(crate) place: String,
    /// What it says.
    pub(crate) json: Json,
}

/// The documents of a file, or of standard input if it is `-`. Empty ones are left out; a file without any is an error.
pub(crate) fn documents(file: &Path) -> Outcome<Vec<Document>> {
    let place = if file == Path::new("-") {
        PathBuf::from("standard input")
    } else {
        file.to_owned()
    };
    let text = text(file).map_err(|error| Failure::at(place.display(), error))?;
    parse(&place.display().to_string(), &text).map_err(|error| Failure::at(place.display(), error))
}

fn text(file: &Path) -> Result<String> {
    let source: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(open(file)?)
    };
    let mut bytes = Vec::new();
    source
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::invalid("", human::io_error(&error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::invalid("", "expected at most 1 MiB of YAML"));
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("", "not UTF-8: save the file as UTF-8"))
}

fn open(file: &Path) -> Result<std::fs::File> {
    if file.is_dir() {
        return Err(Error::invalid(
            "",
            format!(
                "expected a file, it is a folder: name a file in it{}",
                one_of(file)
            ),
        ));
    }
    std::fs::File::open(file).map_err(|error| Error::invalid("", human::io_error(&error)))
}

fn one_of(folder: &Path) -> String {
    let is_yaml = |file: &PathBuf| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml"))
    };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|entry| entry.path())
        .filter(is_yaml)
        .min()
        .map(|file| format!(", such as {}", human::shown(&file.display().to_string())))
        .unwrap_or_default()
}

/// The documents of a text.
pub(super) fn parse(place: &str, text: &str) -> Result<Vec<Document>> {
    let mut found = Vec::new();
    for (number, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let yaml = Yaml::deserialize(document).map_err(|error| not_read(&error.to_string()))?;
        if yaml != Yaml::Null {
            let json = json("", yaml)?;
            found.push(Document {
                place: format!("{place}, document {}", number + 1),
                json,
            });
        }
    }
    match found.as_mut_slice() {
        [] => Err(Error::invalid("", "says nothing")),
        [only] => {
            place.clone_into(&mut only.place);
            Ok(found)
        }
        _ => Ok(found),
    }
}

fn not_read(error: &str) -> Error {
    match too_large(error) {
        Some((path, number)) => {
            let bound = match number.starts_with('-') {
                true => format!("at least {}", i64::MIN),
                false => format!("at most {}", u64::MAX),
            };
            Error::invalid(path, format!("expected {bound}, got {number}"))
        }
        None => Error::invalid("", format!("not valid YAML: {error}")),
    }
}

// The reader stops at whole numbers beyond 64 bits: `steps[2].with.size: invalid type: integer `9...` as u128, expected any YAML value`.
fn too_large(error: &str) -> Option<(&str, &str)> {
    let (path, rest) = error.split_once("invalid type: integer `")?;
    let (number, rest) = rest.split_once('`')?;
    let path = path.strip_suffix(": ").unwrap_or(path);
    rest.starts_with(" as ").then_some((path, number))
}

fn json(path: &str, yaml: Yaml) -> Result<Json> {
    Ok(match yaml {
        Yaml::Null => Json::Null,
        Yaml::Bool(value) => Json::Bool(value),
        Yaml::Number(number) => Json::Number(finite(path, &number)?),
        Yaml::String(text) => Json::String(text),
        Yaml::Sequence(items) => {
            let items = items.into_iter().enumerate();
            Json::Array(
                items
                    .map(|(index, item)| json(&format!("{path}[{index}]"), item))
                    .collect::<Result<_>>()?,
            )
        }
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (key, value) in fields {
                let key = name(path, &key)?;
                let value = json(&super::join(path, &key), value)?;
                object.insert(key, value);
            }
            Json::Object(object)
        }
        Yaml::Tagged(tagged) => {
            return Err(Error::invalid(
                path,
                format!("write the value without the tag {}", tagged.tag),
            ));
        }
    })
}

fn finite(path: &str, number: &serde_yaml_ng::Number) -> Result<serde_json::Number> {
    let exact = number
        .as_u64()
        .map(Into::into)
        .or_else(|| number.as_i64().map(Into::into));
    exact
        .or_else(|| number.as_f64().and_then(serde_json::Number::from_f64))
        .ok_or_else(|| Error::invalid(path, format!("expected a finite number, got {number}")))
}

// A version such as 1.10 would lose its zero as a number.
fn name(path: &str, key: &Yaml) -> Result<String> {
    match key {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Number(number) if number.is_u64() => Ok(number.to_string()),
        Yaml::Number(_) | Yaml::Bool(_) | Yaml::Null => Err(Error::invalid(
            path,
            "put names that look like a number, true, false or null in quotes",
        )),
        _ => Err(Error::invalid(path, "expected text as the name of a field")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse("f.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_may_hold_several_documents() {
        let documents = parse("f.yaml", "---\na: 1\n---\n---\nb: 2\n").unwrap();
        let places: Vec<&str> = documents.iter().map(|d| d.place.as_str()).collect();
        assert_eq!(places, ["f.yaml, document 1", "f.yaml, document 3"]);
        assert_eq!(parse("f.yaml", "a: 1\n").unwrap()[0].place, "f.yaml");
    }

    #[test]
    fn syntax_errors_have_a_line() {
        assert!(
            error("a: b: c\n").contains("line 1"),
            "{}",
            error("a: b: c\n")
        );
        assert!(
            error("a: 1\na: 2\n").contains("duplicate"),
            "{}",
            error("a: 1\na: 2\n")
        );
        assert_eq!(error("# nothing\n"), "says nothing");
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        assert_eq!(
            error("a: { b: .nan }\n"),
            "a.b: expected a finite number, got .nan"
        );
        assert_eq!(
            error("a: !secret x\n"),
            "a: write the value without the tag !secret"
        );
        assert_eq!(
            error("a: { 1.10: x }\n"),
            "a: put names that look like a number, true, false or null in quotes"
        );
    }

    #[test]
    fn whole_numbers_that_no_field_holds_are_named() {
        assert_eq!(
            error("steps: [{ with: { max_edge: 99999999999999999999 } }]\n"),
            "steps[0].with.max_edge: expected at most 18446744073709551615, got 99999999999999999999"
        );
        assert_eq!(
            error("a: -99999999999999999999\n"),
            "a: expected at least -9223372036854775808, got -99999999999999999999"
        );
    }

    #[test]
    fn a_folder_is_told_from_a_file_with_one_to_name() {
        let folder = tempfile::tempdir().unwrap();
        let said = || {
            let failure = documents(folder.path()).unwrap_err();
            failure.message().unwrap()
        };
        let place = folder.path().display();
        let advice = "expected a file, it is a folder: name a file in it";
        assert_eq!(said(), format!("granary: {place}: {advice}"));
        for name in ["b.yaml", "a.yml", "0.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let named = format!("granary: {place}: {advice}, such as {place}/a.yml");
        assert_eq!(said(), named);
    }

    #[test]
    fn aliases_do_not_grow_without_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let reference = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{reference}]\n"));
        }
        assert!(
            error(&text).starts_with("not valid YAML"),
            "{}",
            error(&text)
        );
    }
}
