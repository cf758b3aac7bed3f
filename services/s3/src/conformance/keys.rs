//! Names as people and machines make them.

use super::Target;

/// Spaces, newlines, percent signs, all alphabets, long names: whatever a file system takes.
pub async fn strange_names_are_names(target: &Target) {
    let bucket = target.scratch().await;
    let long = "x".repeat(255);
    let wide = "ü".repeat(127);
    let mut keys = vec![
        "a b",
        " leading",
        "trailing ",
        "a+b",
        "a%20b",
        "100%",
        "a&b=c",
        "a?b",
        "a#b",
        "it's",
        "\"quoted\"",
        "<tag>",
        "a;b,c",
        "a|b",
        "a:b",
        "[a]{b}",
        "a~b",
        "$HOME",
        "...",
        ".hidden",
        "-rf",
        "tab\there",
        "line\nbreak",
        "日本語/ファイル",
        "эксперимент",
        "🧪",
        &long,
        &wide,
    ];
    for key in &keys {
        bucket.put(key, key.to_string()).await.expect_status(200);
    }
    for key in &keys {
        assert_eq!(bucket.get(key).await.checked(200).text(), *key);
    }
    keys.sort_unstable();
    assert_eq!(bucket.keys().await, keys);
}

/// Names that differ in case or in the form of Unicode only.
pub async fn names_that_look_alike_are_different(target: &Target) {
    let bucket = target.scratch().await;
    let keys = ["Data/a", "data/A", "data/a", "\u{e4}", "a\u{308}"];
    for key in keys {
        bucket.put(key, key).await.expect_status(200);
    }
    for key in keys {
        assert_eq!(bucket.get(key).await.checked(200).text(), key);
    }
    assert_eq!(bucket.keys().await.len(), keys.len());
}
