use super::super::Format::{Ini, Json, KeyValue, Toml, Yaml};
use super::{assert_reads, message};

#[test]
fn files_are_listed_in_every_format() {
    let names: Option<&[&str]> = Some(&["a.bin", "b c.bin"]);
    for (text, format) in [
        ("n: 1\nfiles: a.bin, b c.bin", KeyValue),
        ("n: 1\nfiles: a.bin \"b c.bin\"  # two", KeyValue),
        ("n: 1\nFiles = [\"a.bin\", \"b c.bin\"]", Toml),
        ("n: 1\nFile: a.bin\nfile: \"b c.bin\"", KeyValue),
        ("n: 1\nfile list = [a.bin, b c.bin]", KeyValue),
        ("{\"n\": 1, \"files\": [\"a.bin\", \"b c.bin\"]}", Json),
        (
            "{\"n\": 1, \"files\": [{\"name\": \"a.bin\", \"size\": 3}, {\"path\": \"b c.bin\"}]}",
            Json,
        ),
        ("{\"n\": 1, \"files\": \"a.bin, b c.bin\"}", Json),
        ("n: 1\nfiles:\n- a.bin\n- b c.bin\n- a.bin", Yaml),
        ("n: 1\nfiles: [a.bin, b c.bin]", Yaml),
        ("n: 1\nfiles: |\n  a.bin\n  b c.bin", Yaml),
        ("n = 1\ndata_files = [\n  'a.bin',\n  'b c.bin',\n]", Toml),
        ("n = 1\n[s]\nfiles = a.bin, b c.bin", Ini),
    ] {
        // The third line mixes separators, so it is read as lines.
        let format = if text.starts_with("n: 1\nFiles =") {
            KeyValue
        } else {
            format
        };
        assert_reads(text, format, &["n:n=1"], names);
    }
}

#[test]
fn a_name_with_blanks_stays_whole_in_quotes_and_under_file() {
    for (text, format) in [
        ("files: \"my file.bin\"", KeyValue),
        ("file: my file.bin", KeyValue),
        ("files: my file.bin,", KeyValue),
        ("{\"files\": \"my file.bin\"}", Json),
        ("---\nfiles: 'my file.bin'", Yaml),
        ("[s]\nfiles = \"my file.bin\"", Toml),
        ("[s]\na = b\nfiles = \"my file.bin\"", Ini),
    ] {
        let metadata = super::read(text);
        assert_eq!(metadata.format, format);
        assert_eq!(
            metadata.files,
            Some(vec!["my file.bin".to_owned()]),
            "{text}"
        );
    }
}

#[test]
fn an_empty_list_is_a_list() {
    assert_reads("files:\na: 1", KeyValue, &["n:a=1"], Some(&[]));
    assert_reads("{\"files\": []}", Json, &[], Some(&[]));
    assert_reads("a: 1", KeyValue, &["n:a=1"], None);
}

#[test]
fn a_count_of_files_is_an_attribute() {
    assert_reads("files: 3", KeyValue, &["n:files=3"], None);
    assert_reads("{\"files\": 3}", Json, &["n:files=3"], None);
}

#[test]
fn file_is_an_ordinary_word_below_the_top() {
    assert_reads(
        "camera:\n  file: x.cfg\nlog:\n  a:\n    files: y",
        Yaml,
        &["t:camera.file=x.cfg", "t:log.a.files=y"],
        None,
    );
}

#[test]
fn other_lists_are_kept_as_json() {
    assert_reads(
        "channels: [C3, C4]",
        Yaml,
        &["t:channels=[\"C3\",\"C4\"]"],
        None,
    );
    assert_reads(
        "a:\n- 1\n- 2.5\n- true\n- null\n- \"3\"\n- [x]\n- {b: 007}\n- 2021-02-28T16:12:21Z",
        Yaml,
        &["t:a=[1,2.5,true,null,\"3\",[\"x\"],{\"b\":\"007\"},\"2021-02-28T16:12:21Z\"]"],
        None,
    );
    assert_reads(
        "a = [1, 2.5]\nb = [{ x = 1 }]\n[[c]]\ny = 2021-02-28T16:12:21Z\n[[c]]\ny = 20210229_1\n",
        Toml,
        &[
            "t:a=[1,2.5]",
            "t:b=[{\"x\":1}]",
            "t:c=[{\"y\":\"2021-02-28T16:12:21Z\"},{\"y\":\"20210229_1\"}]",
        ],
        None,
    );
}

#[test]
fn files_that_are_not_names_are_refused() {
    assert_eq!(
        message("files:\n- a.bin\n- 3"),
        "line 2: \"files\" should list file names, but has an item that is neither a text nor an object with a name"
    );
    assert!(message("{\"files\": [[\"a\"]]}").contains("should list file names"));
    assert_eq!(
        message("a: 1\nfiles: [a.bin, b.bin"),
        "line 3: not valid YAML: while parsing a flow sequence, expected ',' or ']'"
    );
}
