use std::time::Duration;

use super::super::{MAX_BYTES, Problem, parse};
use super::error;
use crate::testing;

/// Far above what any input takes in an unoptimised build, far below what quadratic work on a full file takes.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn a_yaml_bomb_is_refused_at_its_first_alias() {
    let mut bomb = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for (name, inner) in ('b'..='z').zip('a'..='y') {
        let items = vec![format!("*{inner}"); 9].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{items}]\n"));
    }
    let error = error(&bomb);
    assert_eq!((error.line, error.problem), (Some(2), Problem::Alias));
}

#[test]
fn yaml_merge_keys_and_self_references_are_refused() {
    assert_eq!(error("a: &a\n  b: 1\nc:\n  <<: *a").line, Some(4));
    assert_eq!(error("a: &a\n  b: *a").problem, Problem::Alias);
    assert_eq!(error("&a a: 1\nb:\n  *a : 2").problem, Problem::Alias);
}

#[test]
fn full_files_of_one_repeated_piece_take_little_time() {
    for (start, piece) in [
        ("", "["),
        ("", "[a]\n"),
        ("", "a:\n"),
        ("", "? "),
        ("", "\""),
        ("{", "\"a\":{"),
        ("{\"a\":", "["),
        ("{", "a: [b, "),
        ("a: ", "b #c "),
        ("a: ", "\\"),
        ("a: |\n", " \n"),
        ("a:\n ", "- "),
        ("a: [", "b, "),
        ("[s]\na = [", "b."),
        ("[s]\na = ", "[{a="),
        ("files: ", "\"a, "),
        ("files:\n- ", "-\n"),
        ("---\n", "a.a: &a *a\n"),
    ] {
        let mut text = start.to_owned();
        while text.len() + piece.len() <= MAX_BYTES {
            text.push_str(piece);
        }
        let started = testing::worked();
        let outcome = parse("metadata.txt", text.as_bytes());
        let took = testing::worked().saturating_sub(started);
        assert!(
            took < PATIENCE,
            "{start:?} and {piece:?} took {took:?}: {outcome:?}"
        );
    }
}

#[test]
fn long_dotted_keys_do_not_exhaust_the_stack() {
    for text in [
        format!("[s]\n{}a = 1", "a.".repeat(500_000)),
        format!("[s]\n{}\"a\" = 1", "\"a\" . ".repeat(100_000)),
        format!("[{}a]\nb = 1", "a.".repeat(500_000)),
        format!("x = {{ {}a = 1 }}", "a.".repeat(500_000)),
        format!("x = [{{ {}a = 1 }}]", "a.".repeat(500_000)),
    ] {
        let error = error(&text);
        assert!(
            matches!(error.problem, Problem::TooDeep | Problem::KeyLong { .. }),
            "{error}"
        );
    }
    // Dots in a text are no nesting.
    let dots = format!("[s]\na = \"{}\"", ".".repeat(1000));
    assert!(parse("metadata.txt", dots.as_bytes()).is_ok());
}

#[test]
fn no_input_panics() {
    const SEEDS: [&str; 6] = [
        "fatigue: 3\nhardware: \"X2\" # c\nfiles: a.bin, 'b c.bin'\n",
        "{\"a\": [1, {\"b\": null}], \"c\": {\"d\": \"\\u00e9\"}, \"files\": [\"x\"]}",
        "---\na:\n  - b: &x 1\n    c: [d, {e: f}]\ng: |\n  h\ni: !!str j\n? k\n: l\n...\n",
        "a = 1_000\n[b.c]\nd = [1, { e = 2021-02-28 16:12:21Z }]\n[[f]]\ng = '''\nh'''\n",
        "[s]\na = b ; c\n[t]\nfiles = x\n",
        "a: \"b\\\"c\"\r\nd = 'e''f'\r\n\u{e9}: \u{1f600}\r\n",
    ];
    const NOISE: &[u8] = b"\"'\\:=[]{}#;,-.&*!|>%@`\n\r\t 0aZ_\0\xff\xc3\xa9\xef\xbb\xbf";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % limit
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = SEEDS[below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=below(4) {
            let at = below(bytes.len() + 1);
            match below(4) {
                0 => bytes.insert(at, NOISE[below(NOISE.len())]),
                1 if at < bytes.len() => bytes[at] = NOISE[below(NOISE.len())],
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => {
                    let piece = bytes[..at].to_vec();
                    bytes.extend(piece);
                }
            }
        }
        let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).count();
        match parse("metadata.txt", &bytes) {
            Ok(_) => accepted += 1,
            Err(error) => assert!(
                error
                    .line
                    .is_none_or(|line| (1..=lines + 1).contains(&line)),
                "{error}"
            ),
        }
    }
    assert!(
        accepted > 1000,
        "the inputs are too broken to test much: {accepted}"
    );
}
