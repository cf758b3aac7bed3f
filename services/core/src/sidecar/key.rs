//! Keys of attributes.

use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use super::MAX_KEY;
use super::error::{Problem, excerpt};

/// The attribute key for what was written: trimmed, each run of blanks one `_`, in Unicode's composed form (NFC).
///
/// # Errors
/// A key that is empty or has an empty part (`a..b`), other characters than letters, digits, `_`, `-` and `.`, or
/// more than [`MAX_KEY`] bytes.
pub fn attribute_key(written: &str) -> Result<String, Problem> {
    let mut key = String::with_capacity(written.len().min(MAX_KEY));
    for word in written.split_whitespace() {
        if !key.is_empty() {
            key.push('_');
        }
        if is_nfc(word) {
            key.push_str(word);
        } else {
            key.extend(word.nfc());
        }
        check_length(&key)?;
    }
    if key.split('.').any(str::is_empty) {
        let key = excerpt(written);
        return Err(Problem::KeyEmpty { key });
    }
    match key.chars().find(|char| !is_key_char(*char)) {
        Some(char) => Err(Problem::KeyCharacter {
            key: excerpt(written.trim()),
            char,
        }),
        None => Ok(key),
    }
}

/// Refuses a key with its parents that is too long.
pub(super) fn check_length(key: &str) -> Result<(), Problem> {
    if key.len() > MAX_KEY {
        return Err(Problem::KeyLong {
            key: crate::excerpt::excerpt(key, 40).0.to_owned(),
        });
    }
    Ok(())
}

fn is_key_char(char: char) -> bool {
    // Marks that have no composed form with their letter stand alone.
    char.is_alphanumeric() || matches!(char, '_' | '-' | '.') || is_combining_mark(char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_become_underscores() {
        assert_eq!(
            attribute_key(" hardware  model\t2 "),
            Ok("hardware_model_2".to_owned())
        );
        assert_eq!(attribute_key("eye-open.L_1"), Ok("eye-open.L_1".to_owned()));
        assert_eq!(attribute_key("cafe\u{301}"), Ok("caf\u{e9}".to_owned()));
    }

    #[test]
    fn what_cannot_be_a_key_says_why() {
        let message = |key: &str| attribute_key(key).unwrap_err().to_string();
        assert_eq!(
            message("weight (kg)"),
            r#"key "weight (kg)" has '(': use letters, digits, "_", "-" and ".""#
        );
        for empty in ["", "  ", ".", "a..b", ".a", "a."] {
            assert!(message(empty).contains("is empty"), "{empty}");
        }
        assert!(attribute_key(&"k".repeat(128)).is_ok());
        assert!(message(&"k".repeat(129)).contains("longer than 128 bytes"));
        assert!(message("a\u{0}b").contains(r"'\0'"));
    }
}
