//! Steps of the session as a whole.

use std::collections::BTreeMap;

use granary_core::{name::SessionName, value::Value};
use granary_proto::metadata::v1::SessionState;

use super::{action, nothing};
use crate::{
    item::SessionInfo,
    report::{Report, lines},
    session_file::SessionFile,
    steps::{Action, Check, MetadataSchema, SessionComplete, metadata_attributes, missing},
};

fn session(metadata_path: &str, attributes: &[(&str, Value)]) -> SessionInfo {
    SessionInfo {
        name: SessionName::new("p", "raw", "s").unwrap(),
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
        metadata_path: metadata_path.into(),
        asset_count: 0,
        state: SessionState::Completed,
        uri: String::new(),
    }
}

fn complete(with: serde_json::Value) -> SessionComplete {
    match action("session-complete", with) {
        Action::Check(Check::SessionComplete(check)) => check,
        other => panic!("{other:?}"),
    }
}

fn absent(
    check: &SessionComplete,
    session: &SessionInfo,
    file: &SessionFile,
    there: &[&str],
) -> Vec<String> {
    let report: Report = match check.listed(session, file) {
        Ok(mut listed) => {
            there.iter().for_each(|path| listed.saw(path));
            missing(&listed)
        }
        Err(report) => report,
    };
    lines(&report)
}

#[test]
fn listed_files_must_be_there() {
    let file = SessionFile::parsed("subject: S1\nfiles: eeg.bin, emg.bin, caf\u{e9}.bin\n");
    let check = complete(nothing());
    let at_top = session("metadata.txt", &[]);
    assert_eq!(
        absent(
            &check,
            &at_top,
            &file,
            &["eeg.bin", "emg.bin", "cafe\u{301}.bin", "more"]
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        absent(&check, &at_top, &file, &["eeg.bin", "caf\u{e9}.bin"]),
        ["session: listed file \"emg.bin\" is missing"]
    );
    let below = session("day1/metadata.txt", &[]);
    assert_eq!(
        absent(
            &check,
            &below,
            &file,
            &["day1/eeg.bin", "emg.bin", "day1/caf\u{e9}.bin"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn a_file_that_is_listed_twice_is_one_file_however_it_is_written() {
    let file = SessionFile::parsed("files: a.bin, ./a.bin, signals\\b.bin, signals/b.bin\n");
    let check = complete(nothing());
    let there = ["a.bin", "signals/b.bin"];
    let session = session("metadata.txt", &[]);
    assert_eq!(
        absent(&check, &session, &file, &there),
        Vec::<String>::new()
    );
    assert_eq!(
        absent(&check, &session, &file, &there[..1]),
        [r#"session: listed file "signals\\b.bin" is missing"#]
    );
}

#[test]
fn a_session_without_a_list_cannot_be_called_complete() {
    let check = complete(nothing());
    let told = absent(&check, &session("", &[]), &SessionFile::default(), &["a"]);
    assert!(told[0].starts_with("session: no list of files"), "{told:?}");
    let bad = SessionFile::parsed("\0");
    assert!(absent(&check, &session("m", &[]), &bad, &[])[0].starts_with("metadata: "));
}

#[test]
fn the_list_may_be_an_attribute() {
    let check = complete(serde_json::json!({"list": "recordings"}));
    let file = SessionFile::default();
    for list in ["a.bin, b c.bin", "a.bin\nb c.bin", r#"["a.bin","b c.bin"]"#] {
        let session = session("", &[("recordings", Value::from(list))]);
        assert_eq!(
            absent(&check, &session, &file, &["a.bin"]),
            ["session: listed file \"b c.bin\" is missing"]
        );
    }
    let number = session("", &[("recordings", Value::Number(2.0))]);
    assert_eq!(
        absent(&check, &number, &file, &[]),
        ["session: attribute \"recordings\" should list files, it is a number"]
    );
}

#[test]
fn many_missing_files_make_a_short_report() {
    let names: Vec<String> = (0..100).map(|at| format!("{at}.bin")).collect();
    let file = SessionFile::parsed(&format!("files: {}", names.join(", ")));
    let told = absent(&complete(nothing()), &session("m", &[]), &file, &[]);
    assert_eq!(told.len(), 21);
    assert_eq!(told[20], "session: 80 more listed files are missing");
}

fn schema(schema: serde_json::Value) -> MetadataSchema {
    match action("metadata-schema", serde_json::json!({ "schema": schema })) {
        Action::Check(Check::MetadataSchema(check)) => check,
        other => panic!("{other:?}"),
    }
}

#[test]
fn attributes_are_judged_by_the_schema_field_by_field() {
    let check = schema(serde_json::json!({
        "type": "object",
        "required": ["fatigue", "hardware_model", "subject"],
        "properties": {"fatigue": {"type": "number", "maximum": 5}, "subject": {"type": "string", "pattern": "^S-[0-9]+$"}},
    }));
    let file = SessionFile::parsed("fatigue: 7\nsubject: S-014\n");
    assert_eq!(
        lines(&check.run(&session("m", &[]), &file)),
        [
            "metadata.fatigue: expected at most 5, got 7",
            "metadata.hardware_model: is required"
        ]
    );
    // What was said when the session was opened counts, and comes before the file.
    let said = session(
        "m",
        &[
            ("hardware_model", Value::from("X2")),
            ("fatigue", Value::Number(3.0)),
        ],
    );
    assert_eq!(lines(&check.run(&said, &file)), Vec::<String>::new());
    let odd = session(
        "m",
        &[
            ("subject", Value::from("x")),
            ("hardware_model", Value::from("X2")),
        ],
    );
    assert_eq!(
        lines(&check.run(&odd, &SessionFile::parsed("fatigue: tired"))).len(),
        2
    );
}

#[test]
fn metadata_that_cannot_be_read_is_wrong_metadata() {
    let told = lines(
        &schema(serde_json::json!({}))
            .run(&session("m", &[]), &SessionFile::parsed("a: &x 1\nb: *x\n")),
    );
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("metadata: "), "{told:?}");
}

#[test]
fn metadata_becomes_attributes_but_replaces_none() {
    let file = SessionFile::parsed("fatigue: 4\nsubject: S1\n");
    let found =
        metadata_attributes(&session("m", &[("fatigue", Value::Number(1.0))]), &file).unwrap();
    assert_eq!(
        found,
        BTreeMap::from([("subject".to_owned(), Value::from("S1"))])
    );
}
