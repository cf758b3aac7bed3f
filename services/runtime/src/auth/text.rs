//! What may stand in the log of a text that a caller sent.

/// No id in a name is longer: what is, is none, and may be a secret.
const MAX_SEGMENT: usize = 128;
const MAX_RESOURCE: usize = 1024;
/// The longest path of a call that is no part of the table, in the log.
const MAX_PATH: usize = 128;
/// How API keys and JSON web tokens begin.
const SECRETS: [&str; 2] = ["granary_", "eyJ"];

/// As much of a path as the log may have.
pub(super) fn path_like(path: &str) -> &str {
    name_like(cut(path, MAX_PATH))
}

/// As much of a text as can be the name of a resource or a subject: names have no queries, no spaces and no long parts, and hold no secret.
pub(super) fn name_like(text: &str) -> &str {
    let text = cut(text, MAX_RESOURCE);
    let text = cut(text, secret(text).unwrap_or(MAX_RESOURCE));
    let mut segment = 0;
    let legal =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'@' | b':');
    let end = text.bytes().position(|b| {
        segment = if b == b'/' { 0 } else { segment + 1 };
        !legal(b) || segment > MAX_SEGMENT
    });
    cut(text, end.unwrap_or(MAX_RESOURCE))
}

/// Where a key or a token begins, if there is one.
fn secret(text: &str) -> Option<usize> {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = |at: &usize| text.get(..*at).is_some_and(|text| !text.ends_with(in_word));
    let all = SECRETS
        .iter()
        .filter_map(|start| text.match_indices(start).map(|(at, _)| at).find(begins));
    all.min()
}

/// At most so many bytes of a text.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Role, *};

    #[test]
    fn only_what_can_be_a_name_is_kept_of_a_resource() {
        let name = "projects/p/datasets/d/sessions/20210229_161221.a-b";
        assert_eq!(name_like(name), name);
        let url = "projects/p/x?X-Amz-Signature=abc";
        assert_eq!(name_like(url), "projects/p/x");
        assert_eq!(name_like("projects/p and more"), "projects/p");
        assert_eq!(name_like("projects/\u{e9}"), "projects/");
        let token = format!("projects/p/{}", "a".repeat(700));
        assert_eq!(name_like(&token).len(), "projects/p/".len() + MAX_SEGMENT);
        let long = "a/".repeat(1000);
        assert_eq!(name_like(&long).len(), MAX_RESOURCE);
        assert_eq!(cut("a\u{e9}b", 2), "a");
    }

    #[test]
    fn keys_and_tokens_are_no_part_of_a_name() {
        let key = format!("granary_{}", "0aZ".repeat(19));
        let issuer = super::super::Issuer::ephemeral().unwrap();
        let (token, _) = issuer
            .issue("ada", Role::Administrator, Duration::from_secs(60))
            .unwrap();
        for secret in [key, token] {
            for before in ["", "projects/p/apiKeys/", "projects/", "/v1/projects/p:"] {
                let text = format!("{before}{secret}/more");
                assert_eq!(name_like(&text), before);
                assert_eq!(path_like(&text), before);
            }
        }
        let name = "projects/my_granary_1/datasets/heyJude";
        assert_eq!(name_like(name), name);
        assert_eq!(path_like(&"/a".repeat(1000)).len(), MAX_PATH);
    }
}
