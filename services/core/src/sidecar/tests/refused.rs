use super::super::{MAX_ATTRIBUTES, Problem, SidecarError, check_size, parse};
use super::{error, message, read};

fn refuses(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(message(text), *expected, "{text}");
    }
}

#[test]
fn a_file_without_keys_and_values_says_what_it_is() {
    let empty = "metadata file says nothing: write key: value lines, JSON, YAML, TOML or INI";
    let list = "metadata is a list: write keys and their values instead";
    refuses(&[
        ("", empty),
        ("\n# only\n; comments\n", empty),
        ("[1, 2]", &format!("line 1: {list}")),
        ("[[1]]", &format!("line 1: {list}")),
        ("\n- a\n- b", &format!("line 2: {list}")),
        (
            "---\njust text",
            "line 2: metadata is one value: write keys and their values instead",
        ),
        (
            "a: 1\n\njust text",
            "line 3: no \":\" or \"=\" between a key and its value in \"just text\": write key: value, or # before a \
             comment",
        ),
    ]);
}

#[test]
fn a_key_that_comes_twice_is_named_with_its_line() {
    for (text, line, key) in [
        ("a: 1\nb: 2\na = 3", 3, "a"),
        ("hard ware: 1\nhard_ware: 2", 2, "hard_ware"),
        ("caf\u{e9}: 1\ncafe\u{301}: 2", 2, "caf\u{e9}"),
        ("{\"a\": 1,\n\"a\": 2}", 2, "a"),
        ("{\"a\": {\"b\": 1},\n\"a.b\": 2}", 2, "a.b"),
        ("{\"a\": {\"b\": 1},\n\"a\": {\"c\": 2}}", 2, "a"),
        ("{\"a\": {\"b\": 1},\n\"a\": 2}", 2, "a"),
        ("{\"a\": 1,\n\"a\": {\"b\": 2}}", 2, "a"),
        ("a:\n  b: 1\n  b: 2", 3, "a.b"),
        ("[s]\na = 1\na = 2", 3, "s.a"),
    ] {
        let expected = format!("line {line}: attribute {key:?} comes twice: remove one");
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    refuses(&[
        (
            "weight (kg): 70",
            "line 1: key \"weight (kg)\" has '(': use letters, digits, \"_\", \"-\" and \".\"",
        ),
        (
            ": 70",
            "line 1: key \"\" is empty or has an empty part: give each value a name",
        ),
        (
            "a..b: 1",
            "line 1: key \"a..b\" is empty or has an empty part: give each value a name",
        ),
        (
            "? [a]\n: 1",
            "line 1: a key is not plain text: write keys as single words",
        ),
    ]);
}

#[test]
fn broken_syntax_names_its_line_and_format() {
    refuses(&[
        (
            "a: 1\nb: \"x",
            "line 2: not valid key-value text: missing the closing \"",
        ),
        (
            "[s]\na = \"x",
            "line 2: not valid INI: missing the closing \"",
        ),
        (
            "{\"a\": 1,\n \"b\": }",
            "line 2: not valid JSON: column 7: expected value",
        ),
        (
            "{\"a\": 1",
            "line 1: not valid JSON: column 7: EOF while parsing an object",
        ),
        (
            "{\"a\": 1} x",
            "line 1: not valid JSON: column 10: trailing characters",
        ),
        (
            "a:\n  b: 1\n c: 2",
            "line 3: not valid YAML: while parsing a block mapping, did not find expected key",
        ),
        (
            "---\na: 1\n---\nb: 2",
            "line 4: not valid YAML: more than one document (\"---\")",
        ),
        (
            "a = [\n1,\n2",
            "line 3: not valid TOML: unclosed array, expected `]`",
        ),
        (
            "[s]\na = [\n1]\na = 2",
            "line 4: not valid TOML: duplicate key \"a\"",
        ),
    ]);
}

#[test]
fn what_yaml_could_do_but_metadata_never_needs_is_refused() {
    refuses(&[
        (
            "a: &x 1\nb: *x",
            "line 2: a YAML alias (*name) is refused: write the value itself, or put it in quotes if it is text",
        ),
        (
            "a: !!python/object:os.system 1",
            "line 1: the YAML tag \"!!python/object:os.system\" is refused: write the value without it",
        ),
        (
            "a: !secret 1",
            "line 1: the YAML tag \"!secret\" is refused: write the value without it",
        ),
    ]);
}

#[test]
fn a_nul_that_an_escape_makes_is_refused() {
    let nul = "line 1: text of \"a\" holds a NUL character: remove it";
    refuses(&[
        ("{\"a\": \"x\\u0000\"}", nul),
        ("a: \"x\\0\"\nb:\n- 1", nul),
    ]);
    assert!(message("{\"files\": [\"x\\u0000\"]}").contains("holds a NUL"));
    assert!(message("{\"x\\u0000\": 1}").contains(r"has '\0'"));
}

#[test]
fn sizes_are_limited() {
    assert_eq!(
        message(&"# x\n".repeat(300_000)),
        "metadata file has 1200000 bytes, at most 1048576 are read: keep bulk data in files of its own"
    );
    assert_eq!(
        check_size(1 << 30),
        Err(SidecarError::from(Problem::TooLarge { bytes: 1 << 30 }))
    );
    assert_eq!(check_size(1 << 20), Ok(()));

    let long = |n: usize| format!("a: {}", "x".repeat(n));
    assert_eq!(read(&long(16 * 1024)).attributes.len(), 1);
    assert_eq!(
        message(&long(16 * 1024 + 1)),
        "line 1: text of \"a\" has 16385 bytes, at most 16384 are kept: move it to a file of its own"
    );

    let many = |n: usize| (0..n).map(|n| format!("k{n}: {n}\n")).collect::<String>();
    assert_eq!(read(&many(MAX_ATTRIBUTES)).attributes.len(), MAX_ATTRIBUTES);
    let error = error(&many(MAX_ATTRIBUTES + 1));
    assert_eq!(
        (error.line, error.problem),
        (Some(1001), Problem::TooManyAttributes)
    );
}

#[test]
fn nesting_is_limited() {
    let maps = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    let lists = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
    assert_eq!(read(&maps(8)).attributes.len(), 1);
    assert_eq!(error(&maps(9)).problem, Problem::TooDeep);
    assert_eq!(read(&lists(7)).attributes.len(), 1);
    assert_eq!(error(&lists(8)).problem, Problem::TooDeep);

    let yaml = |text: &str| text.replace('"', "").replace(':', ": ");
    assert_eq!(read(&yaml(&maps(8))).attributes.len(), 1);
    assert_eq!(error(&yaml(&maps(9))).problem, Problem::TooDeep);
    assert_eq!(read(&yaml(&lists(7))).attributes.len(), 1);
    assert_eq!(error(&yaml(&lists(8))).problem, Problem::TooDeep);
    assert_eq!(
        error("[x]\na.b.c.d.e.f.g.h = \"deep\"").problem,
        Problem::TooDeep
    );
}

#[test]
fn keys_are_limited_with_their_parents() {
    let parent = "p".repeat(100);
    let json = |key: &str| format!("{{\"{parent}\": {{\"{key}\": 1}}}}");
    assert_eq!(read(&json(&"k".repeat(27))).attributes.len(), 1);
    assert!(matches!(
        error(&json(&"k".repeat(28))).problem,
        Problem::KeyLong { .. }
    ));
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    assert_eq!(
        parse("metadata.txt", b"a: 1\nname: Ren\xe9")
            .unwrap_err()
            .to_string(),
        "line 2: byte 10 of the line (0xe9) is not UTF-8: save the file as UTF-8"
    );
    assert_eq!(
        parse("metadata.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
            .unwrap_err()
            .to_string(),
        "metadata file is binary, not text (NUL at byte 8): name the text file that describes the session"
    );
}

#[test]
fn the_format_that_got_furthest_reports_the_error() {
    // An INI reader would fail at the list's second line, which is fine TOML.
    assert!(message("[s]\na = [\n  1,\n]\nb = oops").starts_with("line 5: not valid TOML"));
    // A TOML reader would fail at the first value.
    assert!(message("[s]\na = X2\nb = 1\noops").starts_with("line 4: no \":\""));
}

#[test]
fn messages_quote_only_the_start_of_a_hostile_line() {
    let line = "\u{1b}[31m".repeat(10_000);
    let text = message(&line);
    assert!(text.len() < 1000, "{}", text.len());
    assert!(!text.contains('\u{1b}'));
    assert!(message(&format!("{} (: 1", "k".repeat(100_000))).len() < 300);
}
