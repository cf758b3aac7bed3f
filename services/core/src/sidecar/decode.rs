//! Bytes to text. The encoding is never guessed: a wrong guess would change values silently.

use std::borrow::Cow;

use super::error::{Problem, SidecarError};

/// UTF-8 with or without a byte order mark, or UTF-16 with one; line ends become `\n`.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, SidecarError> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)?),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)?),
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(utf8(rest)?),
        rest => Cow::Borrowed(utf8(rest)?),
    };
    if let Some(offset) = text.find('\0') {
        return Err(Problem::Binary { offset }.into());
    }
    if text.contains('\r') {
        return Ok(Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")));
    }
    Ok(text)
}

fn utf8(bytes: &[u8]) -> Result<&str, SidecarError> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Problem::Binary { offset }.into());
    }
    let (before, rest) = bytes
        .split_at_checked(error.valid_up_to())
        .unwrap_or((bytes, &[]));
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let problem = Problem::NotUtf8 {
        column: before.len() - start + 1,
        byte: rest.first().copied().unwrap_or(0),
    };
    Err(SidecarError::at(line, problem))
}

fn utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<String, SidecarError> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    for char in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let Ok(char) = char else {
            let line = 1 + text.matches('\n').count();
            return Err(SidecarError::at(line, Problem::NotUtf16));
        };
        text.push(char);
    }
    if !odd.is_empty() {
        return Err(Problem::NotUtf16.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> String {
        decode(bytes).unwrap().into_owned()
    }

    fn utf16_bytes(text: &str, big: bool) -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units
            .flat_map(|u: u16| {
                if big {
                    u.to_be_bytes()
                } else {
                    u.to_le_bytes()
                }
            })
            .collect()
    }

    #[test]
    fn reads_utf8_and_utf16_with_a_mark() {
        assert_eq!(decoded("é: 1".as_bytes()), "é: 1");
        assert_eq!(decoded("\u{feff}é: 1".as_bytes()), "é: 1");
        assert_eq!(decoded(&utf16_bytes("é: \u{1f600}", false)), "é: \u{1f600}");
        assert_eq!(decoded(&utf16_bytes("é: \u{1f600}", true)), "é: \u{1f600}");
    }

    #[test]
    fn line_ends_are_made_the_same() {
        assert_eq!(decoded(b"a: 1\r\nb: 2\rc: 3\n"), "a: 1\nb: 2\nc: 3\n");
    }

    #[test]
    fn latin1_is_not_guessed() {
        let error = decode(b"a: 1\nname: Ren\xe9\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: byte 10 of the line (0xe9) is not UTF-8: save the file as UTF-8"
        );
    }

    #[test]
    fn binary_is_told_from_a_wrong_encoding() {
        for bytes in [
            &b"a: 1\0"[..],
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            b"\xff\xfe\0\0a\0\0\0",
        ] {
            let error = decode(bytes).unwrap_err();
            assert!(matches!(error.problem, Problem::Binary { .. }), "{error}");
        }
    }

    #[test]
    fn broken_utf16_is_an_error() {
        assert!(decode(b"\xff\xfea").is_err());
        let error = decode(b"\xff\xfe\n\0\x00\xd8a\0").unwrap_err();
        assert_eq!((error.line, error.problem), (Some(2), Problem::NotUtf16));
    }
}
