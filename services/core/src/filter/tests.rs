use super::*;

fn error(source: &str) -> String {
    match parse(source) {
        Ok(filter) => panic!("{source:?} was read as {filter:?}"),
        Err(error) => error.to_string(),
    }
}

fn canonical(source: &str) -> String {
    parse(source)
        .unwrap_or_else(|error| panic!("{}", render_error(source, &error)))
        .to_string()
}

#[test]
fn empty_filters_match_all() {
    for source in ["", " ", "\n\t "] {
        assert_eq!(parse(source), Ok(Filter::True));
    }
    assert_eq!(Filter::True.to_string(), "");
}

#[test]
fn or_binds_tighter_than_and() {
    for (source, expected) in [
        ("a=1 AND b=2 OR c=3", "a = 1 AND (b = 2 OR c = 3)"),
        ("a=1 OR b=2 AND c=3", "(a = 1 OR b = 2) AND c = 3"),
        ("a=1 b=2 OR c=3 d=4", "a = 1 AND (b = 2 OR c = 3) AND d = 4"),
        ("(a=1 AND b=2) OR c=3", "(a = 1 AND b = 2) OR c = 3"),
        ("NOT a=1 OR -b=2", "NOT a = 1 OR NOT b = 2"),
        ("-(a=1 b=2)", "NOT (a = 1 AND b = 2)"),
        ("((a=1)) AND (b=2 AND (c=3))", "a = 1 AND b = 2 AND c = 3"),
        ("NOT (NOT a=1)", "NOT (NOT a = 1)"),
    ] {
        assert_eq!(canonical(source), expected, "{source}");
    }
}

#[test]
fn fields_are_dotted_and_quoted_where_needed() {
    let path = |source: &str| match parse(source).unwrap() {
        Filter::Compare { field, .. } => field.path,
        other => panic!("{other:?}"),
    };
    assert_eq!(path("attributes.fatigue > 3"), ["attributes", "fatigue"]);
    assert_eq!(
        path("attributes.\"hardware model\" = X2"),
        ["attributes", "hardware model"]
    );
    assert_eq!(path("attributes.'a.b'.0 = X2"), ["attributes", "a.b", "0"]);
    assert_eq!(path("attributes.OR = 1"), ["attributes", "OR"]);
    assert_eq!(path("attributes.eye-open = 1"), ["attributes", "eye-open"]);
    assert_eq!(
        path("attributes.cafe\u{301} = 1"),
        ["attributes", "caf\u{e9}"]
    );
    assert_eq!(
        canonical("attributes.OR.\"a b\".c = 1"),
        "attributes.\"OR\".\"a b\".c = 1"
    );
}

#[test]
fn a_field_below_a_map_is_an_attribute_key() {
    let below = |source: &str, parent| match parse(source).unwrap() {
        Filter::Compare { field, .. } => field.below(parent),
        other => panic!("{other:?}"),
    };
    let key = |key: &str| Some(key.to_owned());
    assert_eq!(below("attributes.a.b = 1", "attributes"), key("a.b"));
    assert_eq!(
        below("attributes.\"hardware model\" = 1", "attributes"),
        key("hardware_model")
    );
    assert_eq!(
        below("session.attributes.a = 1", "session.attributes"),
        key("a")
    );
    assert_eq!(below("attributes.\"(x\" = 1", "attributes"), key("(x"));
    assert_eq!(below("attributes = 1", "attributes"), None);
    assert_eq!(below("session.a = 1", "attributes"), None);
    assert_eq!(below("session.a.b = 1", "session.attributes"), None);
}

#[test]
fn values_are_typed_as_in_metadata_files() {
    let kind = |value: &str| match parse(&format!("a = {value}")).unwrap() {
        Filter::Compare { value, .. } => value.kind,
        other => panic!("{other:?}"),
    };
    let text = |text: &str| LiteralKind::Text(text.to_owned());
    assert_eq!(kind("3"), LiteralKind::Number(3.0));
    assert_eq!(kind("-2.5e-3"), LiteralKind::Number(-0.0025));
    assert_eq!(kind("true"), LiteralKind::Boolean(true));
    assert_eq!(kind("READY"), text("READY"));
    assert_eq!(kind("007"), text("007"));
    assert_eq!(kind("20210229_161221"), text("20210229_161221"));
    assert_eq!(kind("image/png"), text("image/png"));
    assert_eq!(kind("\"3\""), text("3"));
    assert_eq!(kind("'it\\'s'"), text("it's"));
    assert_eq!(kind(r#""\"\\\*\n\t""#), text("\"\\*\n\t"));
    assert_eq!(kind("''"), text(""));
    assert!(matches!(
        kind("2021-02-28T16:12:21-04:00"),
        LiteralKind::Timestamp(_)
    ));
}

#[test]
fn stars_are_wildcards_at_the_ends_of_a_compared_text() {
    let pattern = |source: &str| match parse(source).unwrap() {
        Filter::Compare { value, .. } => match value.kind {
            LiteralKind::Pattern(p) => Some((p.text, p.open_start, p.open_end)),
            _ => None,
        },
        other => panic!("{other:?}"),
    };
    let some = |text: &str, start, end| Some((text.to_owned(), start, end));
    assert_eq!(pattern("a = \"image/*\""), some("image/", false, true));
    assert_eq!(pattern("a != image/*"), some("image/", false, true));
    assert_eq!(pattern("a = '*.png'"), some(".png", true, false));
    assert_eq!(pattern("a = \"*\u{e9}*\""), some("\u{e9}", true, true));
    assert_eq!(pattern("a = \"*\\*\""), some("*", true, false));
    assert_eq!(pattern("a = *"), some("", true, true));
    assert_eq!(pattern("a:*"), some("", true, true));
    assert_eq!(pattern("a = \"\\*\""), None);
    assert_eq!(pattern("a > \"b*\""), None);
    assert_eq!(pattern("a:\"b*c\""), None);
}

fn refuses(cases: &[(&str, &str)]) {
    for (source, message) in cases {
        assert_eq!(error(source), *message, "{source}");
    }
}

#[test]
fn errors_point_at_what_is_missing() {
    refuses(&[
        ("size_bytes >", r#"column 13: expected a value after ">""#),
        (
            "size_bytes >   ",
            r#"column 13: expected a value after ">""#,
        ),
        ("a = AND b = 2", r#"column 5: expected a value after "=""#),
        ("a = )", r#"column 5: expected a value after "=""#),
        ("a", "column 2: expected one of = != < <= > >= : after a"),
        (
            "prod web",
            "column 6: expected one of = != < <= > >= : after prod",
        ),
        (
            "a = 1 AND",
            "column 10: expected a comparison after AND, such as state = READY",
        ),
        (
            "OR a = 1",
            "column 1: expected a comparison, such as state = READY",
        ),
        (
            "()",
            r#"column 2: expected a comparison after "(", such as state = READY"#,
        ),
        (
            "NOT",
            "column 4: expected a comparison after NOT, such as state = READY",
        ),
        ("NOT NOT a = 1", "column 5: expected a comparison after NOT"),
        ("(a = 1", r#"column 1: missing the closing ")""#),
        ("a = 1)", r#"column 6: unexpected ")" without "(""#),
        ("a = \"x", r#"column 5: missing the closing ""#),
        (
            "é = 1 ü",
            "column 8: expected one of = != < <= > >= : after ü",
        ),
    ]);
}

#[test]
fn errors_point_at_what_other_languages_write() {
    refuses(&[
        ("a = 1 and b = 2", "column 7: write AND in capitals"),
        ("a = 1 or (b = 2)", "column 7: write OR in capitals"),
        ("a == 1", r#"column 3: unknown operator "==": write "=""#),
        ("a <> 1", r#"column 3: unknown operator "<>": write "!=""#),
        ("!a = 1", r#"column 1: unknown operator "!": write NOT"#),
        ("a = 1 && b = 2", r#"column 7: unexpected "&&": write AND"#),
        ("a = 1 || b = 2", r#"column 7: unexpected "||": write OR"#),
        (
            "a ~ 1",
            r#"column 3: unexpected "~": write = with * at the start or end of the text"#,
        ),
        (
            "a$ = 1",
            "column 2: unexpected '$': put names and values with it in quotes",
        ),
        (
            "a = 1 = 2",
            r#"column 7: unexpected "=": expected AND, OR or the end after a comparison"#,
        ),
        (
            "a = 1, b = 2",
            r#"column 6: unexpected ",": write AND or OR, or put the value in quotes"#,
        ),
        (
            "a = \"b\".c",
            r#"column 8: unexpected ".": put the value in quotes"#,
        ),
        ("a. = 1", r#"column 4: expected a field's name after ".""#),
        ("a.\"\" = 1", "column 3: a field's name is empty"),
        (
            "a = (b OR c)",
            "column 5: expected one value, not a list: repeat the field, as in (a = 1 OR a = 2)",
        ),
        (
            "regex(a, 'b')",
            r#"column 1: unknown function "regex": filters have no functions"#,
        ),
        (
            "a.b('c') = 1",
            r#"column 1: unknown function "a.b": filters have no functions"#,
        ),
    ]);
}

#[test]
fn errors_point_into_values() {
    refuses(&[
        ("ready < true", "column 9: true has no order: write = or !="),
        (
            "a = \"b*c\"",
            r#"column 7: "*" may stand at the start and end of a text only: write "\*" for the character itself"#,
        ),
        (
            "a = b*c",
            r#"column 6: "*" may stand at the start and end of a text only: write "\*" for the character itself"#,
        ),
        (
            "a = \"\\d\"",
            r#"column 6: unknown escape: expected one of \" \' \\ \* \n \r \t"#,
        ),
        (
            "a = \u{1b}[31m",
            r"column 5: unexpected control character '\u{1b}'",
        ),
    ]);
}

#[test]
fn limits_are_errors() {
    let parens = |n: usize| format!("{}a = 1{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&parens(MAX_DEPTH)).is_ok());
    assert_eq!(
        error(&parens(MAX_DEPTH + 1)),
        "column 34: nested deeper than 32 levels"
    );
    assert!(error(&parens(4000)).contains("nested deeper"));
    assert!(error(&"-(".repeat(4000)).contains("nested deeper"));

    let terms = |n: usize| vec!["a = 1"; n].join(" ");
    assert!(parse(&terms(MAX_TERMS)).is_ok());
    assert_eq!(
        error(&terms(MAX_TERMS + 1)),
        "column 1201: more than 200 comparisons"
    );
    assert_eq!(
        error(&" ".repeat(MAX_BYTES + 1)),
        "column 1: filter has 8193 bytes, at most 8192 are allowed"
    );
}

#[test]
fn equality_ignores_spelling() {
    assert_eq!(parse("a=1 b=2"), parse("(a  =  1)  AND  b = 2"));
    assert_ne!(parse("a = 1"), parse("a = \"1\""));
    assert_ne!(parse("a = x*"), parse("a = \"x\\*\""));
}

#[test]
fn comparisons_come_from_left_to_right() {
    let filter = parse("a = 1 (b = 2 OR NOT c = 3) d = 4").unwrap();
    let names: Vec<String> = filter
        .comparisons()
        .into_iter()
        .map(|(field, _, _)| field.to_string())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

/// A small generator of reproducible choices (xorshift64*).
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % limit
    }

    fn of<'a>(&mut self, options: &[&'a str]) -> &'a str {
        options[self.below(options.len())]
    }
}

const FIELDS: [&str; 7] = [
    "name",
    "attributes.fatigue",
    "attributes.\"hardware model\"",
    "a.'OR'.b-c.0",
    "\"NOT\"",
    "\u{e9}t\u{e9}",
    "a.\"\\*\\\"\\\\\"",
];
const OPS: [&str; 7] = ["=", "!=", "<", "<=", ">", ">=", ":"];
const VALUES: [&str; 12] = [
    "1",
    "-2.5e-3",
    "1e300",
    "READY",
    "\"a \\\"b\\\" \\* \\n\"",
    "''",
    "007",
    "*",
    "x/*",
    "'*y'",
    "2021-02-28T16:12:21.5+02:00",
    "\"2021-02-28\"",
];
const NOISE: [&str; 22] = [
    "(",
    ")",
    "-",
    "NOT ",
    " AND ",
    " OR ",
    "\"",
    "'",
    "\\",
    ".",
    ",",
    ":",
    "=",
    "!",
    "<",
    "*",
    "\u{301}",
    "\u{0}",
    "\n",
    "\u{1f600}",
    "true",
    "((((((((",
];

/// A valid filter of random shape.
fn generate(choices: &mut Choices, depth: usize) -> String {
    match choices.below(if depth == 0 { 1 } else { 5 }) {
        1 => format!("NOT ({})", generate(choices, depth - 1)),
        2 => {
            let join = choices.of(&[" AND ", " OR ", " "]);
            let left = generate(choices, depth - 1);
            format!("{left}{join}{}", generate(choices, depth - 1))
        }
        3 => format!("({})", generate(choices, depth - 1)),
        _ => format!(
            "{} {} {}",
            choices.of(&FIELDS),
            choices.of(&OPS),
            choices.of(&VALUES)
        ),
    }
}

#[test]
fn display_parses_to_an_equal_filter() {
    let mut choices = Choices(7);
    for _ in 0..3000 {
        let source = generate(&mut choices, 6);
        let filter = parse(&source).unwrap_or_else(|e| panic!("{}", render_error(&source, &e)));
        let shown = filter.to_string();
        assert_eq!(parse(&shown).as_ref(), Ok(&filter), "{source}\n{shown}");
        assert_eq!(canonical(&shown), shown);
    }
}

#[test]
fn no_input_panics_and_every_error_has_its_place() {
    let mut choices = Choices(42);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut chars: Vec<char> = generate(&mut choices, 3).chars().collect();
        for _ in 0..=choices.below(4) {
            let at = choices.below(chars.len() + 1);
            match choices.below(3) {
                0 => drop(chars.splice(at..at, choices.of(&NOISE).chars())),
                1 if at < chars.len() => drop(chars.remove(at)),
                _ => chars.truncate(at),
            }
        }
        let source: String = chars.iter().collect();
        match parse(&source) {
            Ok(filter) => {
                accepted += 1;
                assert_eq!(parse(&filter.to_string()), Ok(filter.clone()), "{source}");
                let _ = eval(&filter, &|path| Some(path[0].as_str().into()));
                let _ = check_fields(&filter, &["name", "attributes.*"]);
            }
            Err(error) => {
                assert!(
                    (1..=chars.len() + 1).contains(&error.column),
                    "{source}: {error}"
                );
                assert!(render_error(&source, &error).contains('^'));
            }
        }
    }
    assert!(
        accepted > 1000,
        "the inputs are too broken to test much: {accepted}"
    );
}

#[test]
fn the_longest_filters_are_read_in_no_time() {
    let started = crate::testing::worked();
    for piece in [
        "a=1 ",
        "(",
        "-",
        "\"",
        "\\",
        "a.",
        "a=*",
        "''",
        "\u{1f600}",
        "=",
        "a:\"*\" ",
    ] {
        let source: String = piece.repeat(MAX_BYTES / piece.len());
        if let Err(error) = parse(&source) {
            assert!(render_error(&source, &error).contains('^'));
        }
    }
    // Quadratic work on 8 KiB would take seconds in an unoptimised build.
    let took = crate::testing::worked().saturating_sub(started);
    assert!(took.as_secs() < 2, "{took:?}");
}
