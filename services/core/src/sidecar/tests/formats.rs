use super::super::Format::{Ini, Json, KeyValue, Toml, Yaml};
use super::{assert_reads, read, shown};

#[test]
fn key_value_lines_are_typed() {
    let text = "\
# a recording
; of one subject
// by hand

fatigue: 3.5
hardware model = Siemens X2
subject : 007
session: 20210229_161221
ok=true
start: 2021-02-28T16:12:21Z
  indented: no harm
quoted: \"3\"
single = 'it''s 4'
path: \"C:\\data\\new \\\"x\\\"\"
ratio: 1:2
formula: a = b
empty:
\"a:b\"_: x
";
    // A key in quotes may hold a separator, but not become a key.
    assert!(super::message(text).starts_with("line 18: no \":\" or \"=\""));
    let text = text.replace("\"a:b\"_: x", "\"eye open\": \"yes\" # said so");
    assert_reads(
        &text,
        KeyValue,
        &[
            "t:empty=",
            "t:eye_open=yes",
            "n:fatigue=3.5",
            "t:formula=a = b",
            "t:hardware_model=Siemens X2",
            "t:indented=no harm",
            "b:ok=true",
            "t:path=C:\\data\\new \"x\"",
            "t:quoted=3",
            "t:ratio=1:2",
            "t:session=20210229_161221",
            "t:single=it's 4",
            "t:start=2021-02-28T16:12:21Z",
            "t:subject=007",
        ],
        None,
    );
}

#[test]
fn the_same_line_means_the_same_in_every_format() {
    let expected = [
        "b:a.flag=false",
        "t:a.id=007",
        "n:a.level=-2.5",
        "t:a.session=20210229_161221",
        "t:a.text=X2",
        "t:a.time=2021-02-28T16:12:21+01:00",
    ];
    let ini = "[a]\nflag = false\nid = 007\nlevel = -2.5\nsession = 20210229_161221\ntext = X2\ntime = 2021-02-28T16:12:21+01:00\n";
    let yaml = "a:\n  flag: false\n  id: 007\n  level: -2.5\n  session: 20210229_161221\n  text: X2\n  time: 2021-02-28T16:12:21+01:00\n";
    let toml = "[a]\nflag = false\nid = '007'\nlevel = -2.5\nsession = 20210229_161221\ntext = \"X2\"\ntime = 2021-02-28T16:12:21+01:00\n";
    let json = r#"{"a": {"flag": false, "id": "007", "level": -2.5, "session": "20210229_161221",
        "text": "X2", "time": "2021-02-28T16:12:21+01:00"}}"#;
    let lines = ini
        .replace("[a]\n", "")
        .replace("\n", "\na.")
        .replace(" =", ":");
    let lines = format!("a.{}", lines.trim_end_matches("a."));
    for (text, format) in [
        (ini, Ini),
        (yaml, Yaml),
        (toml, Toml),
        (json, Json),
        (lines.as_str(), KeyValue),
    ] {
        assert_reads(text, format, &expected, None);
    }
}

#[test]
fn a_name_that_says_a_format_is_believed() {
    let parse = |name: &str, text: &str| super::super::parse(name, text.as_bytes());
    for (name, text, format) in [
        ("metadata.yaml", "a: 1", Yaml),
        ("day/META.YML", "{\"a\": 1}", Yaml),
        ("metadata.toml", "a = 1", Toml),
        ("metadata.json", "{\"a\": 1}", Json),
        ("session.ini", "a = 1", Ini),
        ("session.cfg", "[s]\na = X2", Ini),
        ("metadata.txt", "{\"a\": 1}", Json),
        ("day.json/metadata", "a: 1", KeyValue),
        ("x.meta", "a: 1", KeyValue),
    ] {
        assert_eq!(parse(name, text).unwrap().format, format, "{name}");
    }
    for (name, text, said) in [
        ("metadata.yaml", "a: [1\nb: 2", "line 2: not valid YAML: "),
        ("metadata.yml", "a: 1\nb = 2", "line 3: not valid YAML: "),
        ("metadata.toml", "a = 1\nb = X2", "line 2: not valid TOML: "),
        ("metadata.toml", "a: 1", "line 1: not valid TOML: "),
        ("metadata.json", "a: 1", "line 1: not valid JSON: "),
        ("metadata.json", "[1]", "line 1: metadata is a list: "),
        (
            "session.ini",
            "[s]\na",
            "line 2: no \":\" or \"=\" between ",
        ),
        ("metadata.yaml", "# nothing", "metadata file says nothing: "),
    ] {
        let error = parse(name, text).unwrap_err().to_string();
        assert!(error.starts_with(said), "{name}: {error}");
    }
}

#[test]
fn the_format_is_told_by_the_content() {
    for (text, format) in [
        ("a: 1", KeyValue),
        ("a = 1", KeyValue),
        ("a = \"x\"\nb = 2", KeyValue),
        ("a: [draft] first", KeyValue),
        ("a: *important*", KeyValue),
        ("a: \"x\" and \"y\"", KeyValue),
        ("{}", Json),
        ("\n {\n\"a\": 1}", Json),
        ("{a: 1}", Yaml),
        ("---\na: 1", Yaml),
        ("%YAML 1.2\n---\na: 1", Yaml),
        ("a:\n  b: 1", Yaml),
        ("a:\n- 1", Yaml),
        ("a: # nested\n  b: 1", Yaml),
        ("a: |\n  b", Yaml),
        ("a: >-\n  b", Yaml),
        ("a: x\n  y", Yaml),
        ("a: [1, 2]", Yaml),
        ("a: {b: 1}", Yaml),
        ("a: 'x\n  y'", Yaml),
        ("a: !!str 1", Yaml),
        ("a: &x 1", Yaml),
        ("[a]\nb = 1", Toml),
        ("[[a]]\nb = 1", Toml),
        ("a = [\n1,\n2]", Toml),
        ("a = { b = 1 }", Toml),
        ("a = \"\"\"\nb\"\"\"", Toml),
        ("a = [1, 2]", Toml),
        ("[a]\nb = X2", Ini),
        ("[a]\nb: 1", Ini),
        ("b = 1\n[a] ; c\nb = x", Ini),
    ] {
        assert_eq!(read(text).format, format, "{text}");
    }
}

#[test]
fn comments_end_values() {
    assert_reads(
        "a: 3 # three\nb: 3 #three\nc: C3 #2\nd: #ff0000\ne: text # said\nf: \"x # y\" # z\ng: # nothing\nh: a#b\n",
        KeyValue,
        &[
            "n:a=3",
            "n:b=3",
            "t:c=C3 #2",
            "t:d=#ff0000",
            "t:e=text",
            "t:f=x # y",
            "t:g=",
            "t:h=a#b",
        ],
        None,
    );
    assert_reads(
        "[s]\na = X2 ; comment\nb = 3 ;three\nc = a;b\n",
        Ini,
        &["t:s.a=X2", "n:s.b=3", "t:s.c=a;b"],
        None,
    );
}

#[test]
fn json_keeps_types_and_long_identifiers() {
    assert_reads(
        r#"{"n": 3, "f": 1e-2, "z": -0, "big": 12345678901234567890, "t": "3", "b": true, "no": null,
            "at": "2021-02-28T16:12:21Z", "deep": {"a": {"b c": "\u00e9"}}}"#,
        Json,
        &[
            "t:at=2021-02-28T16:12:21Z",
            "b:b=true",
            "t:big=12345678901234567890",
            "t:deep.a.b_c=é",
            "n:f=0.01",
            "n:n=3",
            "t:t=3",
            "n:z=0",
        ],
        None,
    );
}

#[test]
fn yaml_is_read_by_its_own_rules() {
    let text = "\
---
plain: 3
quoted: \"3\"
single: '2021-02-28T16:12:21Z'
tagged: !!str 4
none: null
tilde: ~
empty:
yes_is_text: yes
folded: >-
  two
  lines
block: |
  line 1
  # no comment
deep:
  a: {b: 1, c: x}  # flow
...
";
    let metadata = read(text);
    assert_eq!(metadata.format, Yaml);
    assert_eq!(
        shown(&metadata),
        [
            "t:block=line 1\n# no comment\n",
            "n:deep.a.b=1",
            "t:deep.a.c=x",
            "t:empty=",
            "t:folded=two lines",
            "n:plain=3",
            "t:quoted=3",
            "t:single=2021-02-28T16:12:21Z",
            "t:tagged=4",
            "t:yes_is_text=yes",
        ]
    );
    assert_eq!(
        metadata.attributes["single"].as_text(),
        Some("2021-02-28T16:12:21Z")
    );
}

#[test]
fn toml_numbers_keep_their_meaning() {
    assert_reads(
        "\
title = \"x\"
[n]
hex = 0x1F
plus = +3
thousands = 1_000_000
id = 20210229_161221
big = 9223372036854775807
not = nan
exp = 5e+2
[t]
zoned = 2021-02-28 16:12:21Z
local = 2021-02-28T16:12:21
day = 2021-02-28
a.b.\"c d\" = 'literal'
",
        Toml,
        &[
            "t:n.big=9223372036854775807",
            "n:n.exp=500",
            "n:n.hex=31",
            "t:n.id=20210229_161221",
            "t:n.not=nan",
            "n:n.plus=3",
            "n:n.thousands=1000000",
            "t:t.a.b.c_d=literal",
            "t:t.day=2021-02-28",
            "t:t.local=2021-02-28T16:12:21",
            "t:t.zoned=2021-02-28T16:12:21Z",
            "t:title=x",
        ],
        None,
    );
}

#[test]
fn ini_sections_are_parents_and_may_be_continued() {
    assert_reads(
        "top = 1\n[Sub ject]\nage = 40\n[device.eeg]\nmodel: X2\n[Sub ject]\nname = R. M.\n",
        Ini,
        &[
            "n:Sub_ject.age=40",
            "t:Sub_ject.name=R. M.",
            "t:device.eeg.model=X2",
            "n:top=1",
        ],
        None,
    );
}

#[test]
fn encodings_with_a_mark_are_read() {
    let utf16: Vec<u8> = "\u{feff}name: René\r\nage: 40\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let metadata = super::super::parse("metadata.txt", &utf16).unwrap();
    assert_eq!(shown(&metadata), ["n:age=40", "t:name=René"]);
    assert_reads("\u{feff}{\"a\": 1}", Json, &["n:a=1"], None);
}
