mod formats;
mod hostile;
mod lists;
mod refused;

use super::{Format, Metadata, SidecarError, parse};
use crate::value::Value;

fn read(text: &str) -> Metadata {
    parse("metadata.txt", text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error(text: &str) -> SidecarError {
    match parse("metadata", text.as_bytes()) {
        Ok(metadata) => panic!("{text:?} was read as {metadata:?}"),
        Err(error) => error,
    }
}

fn message(text: &str) -> String {
    error(text).to_string()
}

/// The attributes as `key=value` with the type's first letter, sorted by key.
fn shown(metadata: &Metadata) -> Vec<String> {
    let entry = |(key, value): (&String, &Value)| {
        let kind = value.kind().as_str();
        format!("{}:{key}={value}", kind.chars().next().unwrap_or('?'))
    };
    metadata.attributes.iter().map(entry).collect()
}

/// Format, attributes as in [`shown`], files.
fn assert_reads(text: &str, format: Format, attributes: &[&str], files: Option<&[&str]>) {
    let metadata = read(text);
    assert_eq!(metadata.format, format, "{text}");
    assert_eq!(shown(&metadata), attributes, "{text}");
    let names = metadata.files.as_deref();
    let names = names.map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(names.as_deref(), files, "{text}");
}
