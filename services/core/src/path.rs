//! Paths of assets within their session. They become parts of object keys and of files on other people's machines, so they are parsed here
//! and nowhere joined.

use crate::{Error, Result, name::quote};

/// The longest path, in bytes, so that the object key stays under S3's 1,024.
pub const MAX_BYTES: usize = 900;
/// The longest part of a path, in bytes: what file systems take.
pub const MAX_PART_BYTES: usize = 255;
/// What lies below this part of a session belongs to Granary.
pub const RESERVED: &str = ".granary";

/// Checks a path; the error has the field `path`.
pub fn check(path: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::invalid(
            "path",
            format!("{why}, got {}", quote(path)),
        ))
    };
    if path.is_empty() {
        return refuse("expected a relative path such as `camera/0001.jpg`");
    }
    if path.len() > MAX_BYTES {
        return refuse("expected at most 900 bytes");
    }
    if path.starts_with('/') {
        return refuse("expected a relative path without a leading slash");
    }
    if path.contains('\0') {
        return refuse("expected no NUL character");
    }
    if path.contains(turns_text_around) {
        return refuse("expected no character that changes the direction of text");
    }
    for part in path.split('/') {
        match part {
            "" => return refuse("expected no empty part"),
            "." | ".." => return refuse("expected no part `.` or `..`"),
            part if part.len() > MAX_PART_BYTES => {
                return refuse("expected parts of at most 255 bytes");
            }
            part if walks_in_disguise(part) => {
                return refuse("expected no `.` or `..` in another form");
            }
            _ => {}
        }
    }
    if path.split('/').next() == Some(RESERVED) {
        return refuse("paths below `.granary/` are Granary's own");
    }
    Ok(())
}

/// Whether a character makes the rest look like something else: `txt.exe` for what ends in `exe.txt`.
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a part becomes a step elsewhere once somebody decodes it, or takes it for a path of Windows.
fn walks_in_disguise(part: &str) -> bool {
    if !part.contains(['%', '\\']) {
        return false;
    }
    let plain = part.to_ascii_lowercase();
    let plain = plain.replace("%2e", ".").replace("%2f", "/");
    let mut steps = plain.split("%5c").flat_map(|part| part.split(['/', '\\']));
    steps.any(|step| matches!(step, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_names_are_fine() {
        for path in [
            "a",
            "a b/c\nd",
            "é/e\u{301}",
            "A/a",
            "...",
            "~",
            &"x".repeat(255),
            "-rf",
            "100%",
            "%2e%2e%2e/a%2fb",
            "a\\b",
            "\u{200f}\u{5d0}",
        ] {
            check(path).unwrap();
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "a/../b",
            "..",
            ".",
            "a//b",
            "a/",
            "a\0b",
            ".granary/session.json",
            "a/%2e%2E/b",
            ".%2e",
            "%2e",
            "a%2f..%2fb",
            "..%5cb",
            "..\\b",
            "a\u{202e}gpj.exe",
            "\u{2066}a",
            &"x".repeat(256),
            &"x/".repeat(500),
        ] {
            assert!(check(path).is_err(), "{path:?} was accepted");
        }
    }
}
