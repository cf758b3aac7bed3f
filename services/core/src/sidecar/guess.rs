//! Which file of a session's folder is its metadata file.

/// Extensions of files that may hold metadata.
const EXTENSIONS: [&str; 8] = ["txt", "json", "yaml", "yml", "toml", "ini", "cfg", "meta"];

/// Most candidates that are named in an error.
const MAX_SHOWN: usize = 5;

/// No metadata file could be told from the names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuessError {
    #[error(
        "no metadata file among {}: expected metadata.txt, .json, .yaml, .toml, .ini or .cfg; name it \
         with --metadata NAME, or pass --no-metadata",
        counted(*files)
    )]
    None { files: usize },
    #[error(
        "no file named {configured:?} among {}: correct --metadata NAME, or pass --no-metadata",
        counted(*files)
    )]
    ConfiguredMissing { configured: String, files: usize },
    /// Sorted by name.
    #[error(
        "{} could each be the metadata file: name it with --metadata NAME",
        listed(candidates)
    )]
    Several { candidates: Vec<String> },
}

fn counted(files: usize) -> String {
    match files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    }
}

fn listed(candidates: &[String]) -> String {
    let shown: Vec<String> = candidates
        .iter()
        .take(MAX_SHOWN)
        .map(|name| format!("{name:?}"))
        .collect();
    match candidates.len().saturating_sub(MAX_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Picks the metadata file among the names of a folder's files, relative to the folder with `/`.
///
/// `configured` is a name, or a pattern with `*` and `?`; without a `/` it means files of the top level. By default
/// only files of the top level come into question, in any case: first `metadata.*`, then `meta.*`, `session.*` and
/// `info.txt`, then the only file at all, always with one of the extensions `txt json yaml yml toml ini cfg meta`.
/// Hidden files never do, and a readme or licence is not metadata.
///
/// # Errors
/// None or several candidates.
pub fn guess<'a>(
    names: impl Iterator<Item = &'a str>,
    configured: Option<&str>,
) -> Result<&'a str, GuessError> {
    let mut tiers: [Vec<&str>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    let mut files = 0;
    for name in names {
        files += 1;
        let tier = match configured {
            Some(pattern) => fits(pattern, name).then_some(0),
            None => tier(name),
        };
        if let Some(tier) = tier.and_then(|tier| tiers.get_mut(tier)) {
            tier.push(name);
        }
    }
    let found = tiers.into_iter().find(|tier| !tier.is_empty());
    match (found.as_deref(), configured) {
        (Some([only]), _) => Ok(only),
        (Some(several), _) => {
            let mut candidates: Vec<String> = several.iter().map(|&name| name.to_owned()).collect();
            candidates.sort_unstable();
            Err(GuessError::Several { candidates })
        }
        (None, Some(configured)) => Err(GuessError::ConfiguredMissing {
            configured: configured.to_owned(),
            files,
        }),
        (None, None) => Err(GuessError::None { files }),
    }
}

/// How likely a name is by itself: 0 is the likeliest.
fn tier(name: &str) -> Option<usize> {
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    let (stem, extension) = name.rsplit_once('.')?;
    EXTENSIONS
        .iter()
        .find(|known| known.eq_ignore_ascii_case(extension))?;
    match stem.to_lowercase().as_str() {
        "metadata" => Some(0),
        "meta" | "session" => Some(1),
        "info" if extension.eq_ignore_ascii_case("txt") => Some(1),
        "readme" | "license" | "licence" => None,
        _ => Some(2),
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    if name.contains('/') && !pattern.contains('/') {
        return false;
    }
    pattern == name || glob(pattern, name)
}

/// `*` is any run of characters but `/`, `?` any one. Goes back to the last `*` only, so the time is at most the
/// product of the lengths.
fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&char) = name.get(n) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&wanted) if wanted == char || (wanted == '?' && char != '/') => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) if name.get(from) != Some(&'/') => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                _ => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked<'a>(names: &[&'a str], configured: Option<&str>) -> Result<&'a str, String> {
        guess(names.iter().copied(), configured).map_err(|error| error.to_string())
    }

    #[test]
    fn the_usual_names_are_found_in_any_case() {
        for name in [
            "metadata.txt",
            "METADATA.JSON",
            "meta.yml",
            "Session.ini",
            "info.txt",
            "x.meta",
        ] {
            assert_eq!(
                picked(&["a.bin", name, "sub/metadata.txt", "b.edf"], None),
                Ok(name)
            );
        }
    }

    #[test]
    fn a_likelier_name_wins() {
        assert_eq!(
            picked(&["notes.txt", "info.txt", "metadata.yaml"], None),
            Ok("metadata.yaml")
        );
        assert_eq!(
            picked(&["notes.txt", "session.json", "log.txt"], None),
            Ok("session.json")
        );
        assert_eq!(
            picked(&["README.txt", "subject.txt", "a.bin"], None),
            Ok("subject.txt")
        );
    }

    #[test]
    fn none_and_several_are_errors() {
        for names in [
            &["a.bin", "b.bin", "session.edf"][..],
            &["a.bin", ".metadata.txt", "sub/metadata.txt"],
            &["README.txt", "metadata", "info.json.gz"],
        ] {
            assert_eq!(
                picked(names, None).unwrap_err(),
                "no metadata file among 3 files: expected metadata.txt, .json, .yaml, .toml, .ini or .cfg; name it \
                 with --metadata NAME, or pass --no-metadata"
            );
        }
        assert_eq!(
            picked(&["metadata.txt", "a.bin", "metadata.json"], None).unwrap_err(),
            r#""metadata.json", "metadata.txt" could each be the metadata file: name it with --metadata NAME"#
        );
        let many: Vec<String> = (0..9).map(|n| format!("{n}.txt")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(
            picked(&many, None)
                .unwrap_err()
                .contains("\"4.txt\" and 4 more could")
        );
    }

    #[test]
    fn a_configured_name_or_pattern_is_taken_as_it_is() {
        let names = [
            "metadata.txt",
            "run1.log",
            "sub/deep/about.txt",
            "20210229_161221.hdr",
        ];
        assert_eq!(picked(&names, Some("run1.log")), Ok("run1.log"));
        assert_eq!(picked(&names, Some("*.hdr")), Ok("20210229_161221.hdr"));
        assert_eq!(
            picked(&names, Some("sub/*/a?out.txt")),
            Ok("sub/deep/about.txt")
        );
        assert_eq!(
            picked(&names, Some("*.TXT")).unwrap_err(),
            r#"no file named "*.TXT" among 4 files: correct --metadata NAME, or pass --no-metadata"#
        );
        assert!(picked(&names, Some("sub/*.txt")).is_err());
        assert!(
            picked(&["a.txt", "b.txt"], Some("?.txt"))
                .unwrap_err()
                .contains("could each be")
        );
        assert_eq!(picked(&["a*b.txt"], Some("a*b.txt")), Ok("a*b.txt"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let name = "a".repeat(255);
        let pattern = format!("{}b", "*a".repeat(100));
        assert!(!glob(&pattern, &name));
    }
}
