//! What prefixes and keys stand for. Nobody but Granary should write to the buckets, and anybody may have: each part is parsed as the name that
//! it would have to be.

use granary_core::{
    layout::{manifest_key, session_prefix},
    name::{DatasetName, ProjectName, SessionName},
    path,
};
use granary_storage::inventory::Object;

/// The last part of a prefix that ends with `/`.
fn last(prefix: &str) -> &str {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    prefix.rsplit('/').next().unwrap_or(prefix)
}

/// Whether a prefix is that of Granary's own objects.
pub(super) fn is_reserved(prefix: &str) -> bool {
    last(prefix) == path::RESERVED
}

/// The project of a prefix `{project}/`.
pub(super) fn project(prefix: &str) -> Option<ProjectName> {
    ProjectName::new(last(prefix)).ok()
}

/// The dataset of a prefix below that of its project.
pub(super) fn dataset(project: &ProjectName, prefix: &str) -> Option<DatasetName> {
    DatasetName::new(&project.project, last(prefix)).ok()
}

/// The session of a prefix below that of its dataset.
pub(super) fn session(dataset: &DatasetName, prefix: &str) -> Option<SessionName> {
    dataset.session(last(prefix)).ok()
}

/// What an object below the prefix of a session is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A file, by its path.
    File(&'a str),
    Manifest,
    /// Nothing that Granary wrote.
    Stray,
}

/// What an object below the prefix of a session is.
pub(super) fn kind<'a>(session: &SessionName, object: &'a Object) -> Kind<'a> {
    let key = object.key.as_str();
    if key == manifest_key(session) {
        return Kind::Manifest;
    }
    match key.strip_prefix(&session_prefix(session)) {
        Some(path) if path::check(path).is_ok() => Kind::File(path),
        _ => Kind::Stray,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_names_or_nothing() {
        let project = project("p/").unwrap();
        let dataset = dataset(&project, "p/d/").unwrap();
        let found = session(&dataset, "p/d/20210229_161221/").unwrap();
        assert_eq!(
            found.to_string(),
            "projects/p/datasets/d/sessions/20210229_161221"
        );
        assert!(is_reserved("p/.granary/") && is_reserved("p/d/.granary/"));
        for prefix in ["P/", "/", "../", ".granary/", "a b/", ""] {
            assert!(super::project(prefix).is_none(), "{prefix}");
        }
        assert!(session(&dataset, "p/d/../").is_none());
        assert!(session(&dataset, "p/d/.granary/").is_none());
    }

    #[test]
    fn keys_are_files_or_the_manifest_or_fit_nothing() {
        let session = SessionName::new("p", "d", "s").unwrap();
        let modified = time::OffsetDateTime::UNIX_EPOCH;
        let object = |key: &str| Object {
            key: key.into(),
            size: 1,
            modified,
        };
        for (key, expected) in [
            ("p/d/s/a/b c", Kind::File("a/b c")),
            ("p/d/s/.granary/session.json", Kind::Manifest),
            ("p/d/s/.granary/other", Kind::Stray),
            ("p/d/s/a//b", Kind::Stray),
            ("p/d/s/../t/a", Kind::Stray),
            ("p/d/s/", Kind::Stray),
            ("p/d/t/a", Kind::Stray),
        ] {
            assert_eq!(kind(&session, &object(key)), expected, "{key}");
        }
    }
}
