//! Media types by content: magic numbers, and whether it is text.

use std::fmt;

/// What content shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A media type with a magic number of its own.
    Known(&'static str),
    /// Text of some kind.
    Text,
    /// Neither.
    Binary,
    /// No bytes at all.
    Empty,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known(known) => known,
            Self::Text => "text/plain",
            Self::Binary => "application/octet-stream",
            Self::Empty => "empty",
        })
    }
}

/// Magic numbers that the library does not know, of recordings and arrays.
const MAGIC: [(&[u8], &str); 5] = [
    (b"\x93NUMPY", "application/x-npy"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"0       ", "application/x-edf"),
    (b"\xffBIOSEMI", "application/x-edf"),
];

/// Types whose magic numbers are long or odd enough that other data does not start with them by chance.
const CERTAIN: [&str; 22] = [
    "application/dicom",
    "application/gzip",
    "application/pdf",
    "application/vnd.microsoft.portable-executable",
    "application/vnd.rar",
    "application/vnd.sqlite3",
    "application/x-7z-compressed",
    "application/x-executable",
    "application/x-xz",
    "application/zip",
    "application/zstd",
    "audio/x-wav",
    "image/bmp",
    "image/gif",
    "image/heif",
    "image/avif",
    "image/jp2",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
    "video/mp4",
];

/// Tells the type of content by its first bytes.
pub(crate) fn told(bytes: &[u8]) -> Told {
    if bytes.is_empty() {
        return Told::Empty;
    }
    if let Some((_, known)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Told::Known(known);
    }
    let found = infer::get(bytes).map(|found| found.mime_type());
    if let Some(known) = found.and_then(|found| CERTAIN.iter().find(|certain| **certain == found)) {
        return Told::Known(canonical(known));
    }
    if is_text(bytes) {
        Told::Text
    } else {
        Told::Binary
    }
}

fn canonical(known: &'static str) -> &'static str {
    if known == "audio/x-wav" {
        "audio/wav"
    } else {
        known
    }
}

/// UTF-8, possibly cut in the middle of a character, or UTF-16 with its mark; without control characters but blanks and escapes.
fn is_text(bytes: &[u8]) -> bool {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return bytes.len().is_multiple_of(2);
    }
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => bytes,
        Err(error) if error.error_len().is_none() => {
            bytes.get(..error.valid_up_to()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid
        .iter()
        .any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127))
}

impl Told {
    /// Whether such content may be what was declared.
    pub(crate) fn agrees_with(self, declared: &str) -> bool {
        let declared = essence(declared);
        // This type says nothing, so nothing contradicts it.
        if declared == "application/octet-stream" {
            return true;
        }
        match self {
            Self::Known(known) => known == declared || same_family(known, &declared),
            Self::Text => is_textual(&declared),
            Self::Binary => !is_textual(&declared) && !has_magic(&declared),
            Self::Empty => !has_magic(&declared),
        }
    }

    /// The type to record for content that was declared as `declared`.
    pub(crate) fn shown(self, declared: &str) -> &str {
        match self {
            Self::Known(known) if !same_family(known, &essence(declared)) => known,
            Self::Text
                if !is_textual(&essence(declared))
                    && essence(declared) != "application/octet-stream" =>
            {
                "text/plain"
            }
            Self::Binary if !self.agrees_with(declared) => "application/octet-stream",
            _ => declared,
        }
    }
}

/// Without parameters, in lower case: `text/plain; charset=utf-8` is `text/plain`.
fn essence(declared: &str) -> String {
    declared
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn is_textual(declared: &str) -> bool {
    declared.starts_with("text/")
        || declared.ends_with("+json")
        || declared.ends_with("+xml")
        || matches!(
            declared,
            "application/json"
                | "application/yaml"
                | "application/x-yaml"
                | "application/toml"
                | "application/xml"
                | "application/javascript"
                | "application/x-ndjson"
                | "application/x-sh"
        )
}

fn has_magic(declared: &str) -> bool {
    declared == "audio/wav"
        || CERTAIN.contains(&declared)
        || MAGIC.iter().any(|(_, known)| *known == declared)
}

/// Formats that are built on another one, and spellings of the same.
fn same_family(known: &str, declared: &str) -> bool {
    match known {
        "application/zip" => {
            declared.starts_with("application/vnd.")
                || matches!(
                    declared,
                    "application/epub+zip"
                        | "application/java-archive"
                        | "application/x-zip-compressed"
                        | "application/x-npz"
                )
        }
        "application/gzip" => matches!(declared, "application/x-gzip" | "application/x-tar"),
        "image/jpeg" => matches!(declared, "image/jpg" | "image/pjpeg"),
        "image/tiff" => declared.starts_with("image/x-") || declared == "image/geotiff",
        "image/heif" => declared == "image/heic",
        "image/bmp" => declared == "image/x-ms-bmp",
        "audio/wav" => matches!(declared, "audio/x-wav" | "audio/vnd.wave"),
        "video/mp4" => matches!(declared, "audio/mp4" | "video/quicktime" | "video/x-m4v"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_its_first_bytes() {
        for (bytes, shown) in [
            (&b"\xff\xd8\xff\xe0\0\x10JFIF"[..], "image/jpeg"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
            (b"GIF89a\x01\0\x01\0", "image/gif"),
            (b"subject: S-014\nfatigue: 4\n", "text/plain"),
            ("caf\u{e9}".as_bytes(), "text/plain"),
            (b"caf\xc3", "text/plain"),
            (b"\x93NUMPY\x01\0", "application/x-npy"),
            (b"0       X X X X", "application/x-edf"),
            (b"\0\x01\x02\x03", "application/octet-stream"),
            (b"\x1f\x9d\x90\0\0", "application/octet-stream"),
            (b"", "empty"),
        ] {
            assert_eq!(told(bytes).to_string(), shown, "{bytes:?}");
        }
    }

    #[test]
    fn declared_types_agree_or_not() {
        let jpeg = Told::Known("image/jpeg");
        for (told, declared, agrees) in [
            (jpeg, "image/jpeg", true),
            (jpeg, "IMAGE/JPEG; q=1", true),
            (jpeg, "image/png", false),
            (jpeg, "application/octet-stream", true),
            (Told::Text, "image/jpeg", false),
            (Told::Text, "application/json", true),
            (Told::Text, "text/csv; charset=utf-8", true),
            (Told::Binary, "image/jpeg", false),
            (Told::Binary, "text/plain", false),
            (Told::Binary, "application/x-own", true),
            (Told::Empty, "image/jpeg", false),
            (Told::Empty, "text/plain", true),
            (Told::Known("application/zip"), "application/epub+zip", true),
        ] {
            assert_eq!(told.agrees_with(declared), agrees, "{told} as {declared}");
        }
    }

    #[test]
    fn what_is_recorded_is_what_the_content_shows() {
        assert_eq!(
            Told::Known("image/jpeg").shown("application/octet-stream"),
            "image/jpeg"
        );
        assert_eq!(Told::Text.shown("text/csv"), "text/csv");
        assert_eq!(Told::Text.shown("image/jpeg"), "text/plain");
        assert_eq!(
            Told::Text.shown("application/octet-stream"),
            "application/octet-stream"
        );
        assert_eq!(Told::Binary.shown("application/x-own"), "application/x-own");
    }
}
