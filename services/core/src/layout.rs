//! Where bytes lie: `s3://{prefix}-{raw|processed|jobs}/{project}/{dataset}/{session}/{path}`, so that a dataset or a session can be mounted.

use crate::{
    Error, Result,
    name::{DatasetName, ProjectName, SessionName},
    path,
};

/// What a dataset holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatasetKind {
    /// Recordings as they came.
    Raw,
    /// What pipelines made of them.
    Processed,
    /// Configuration files of jobs.
    Config,
    /// What jobs made for later jobs.
    Artifact,
    /// Results of jobs.
    Output,
    /// Logs of jobs.
    Log,
}

impl DatasetKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Raw,
        Self::Processed,
        Self::Config,
        Self::Artifact,
        Self::Output,
        Self::Log,
    ];

    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Processed => "processed",
            Self::Config => "config",
            Self::Artifact => "artifact",
            Self::Output => "output",
            Self::Log => "log",
        }
    }

    /// The last part of its bucket's name.
    pub fn bucket(self) -> &'static str {
        match self {
            Self::Raw | Self::Config => "raw",
            Self::Processed => "processed",
            Self::Artifact | Self::Output | Self::Log => "jobs",
        }
    }
}

impl std::str::FromStr for DatasetKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                Error::invalid(
                    "kind",
                    format!(
                        "expected raw, processed, config, artifact, output or log, got {}",
                        crate::name::quote(text)
                    ),
                )
            })
    }
}

/// The names of buckets and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
}

impl Layout {
    /// A layout whose buckets start with `prefix`: 3 to 50 of a-z, 0-9 and `-`, starting and ending with a letter or digit.
    pub fn new(prefix: impl Into<String>) -> Result<Self> {
        let prefix = prefix.into();
        let legal = (3..=50).contains(&prefix.len())
            && prefix
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !prefix.starts_with('-')
            && !prefix.ends_with('-');
        if legal {
            return Ok(Self { prefix });
        }
        Err(Error::invalid(
            "object_store",
            "expected a bucket prefix of 3 to 50 of a-z, 0-9 and `-`, starting and ending with a letter or digit",
        ))
    }

    /// The buckets.
    pub fn buckets(&self) -> [String; 3] {
        ["raw", "processed", "jobs"].map(|suffix| format!("{}-{suffix}", self.prefix))
    }

    /// The bucket of a kind of dataset.
    pub fn bucket(&self, kind: DatasetKind) -> String {
        format!("{}-{}", self.prefix, kind.bucket())
    }

    /// `s3://{bucket}/{project}/{dataset}/`.
    pub fn dataset_uri(&self, kind: DatasetKind, project: &str, dataset: &str) -> String {
        format!("s3://{}/{project}/{dataset}/", self.bucket(kind))
    }

    /// `s3://{bucket}/{project}/{dataset}/{session}/`.
    pub fn session_uri(&self, kind: DatasetKind, session: &SessionName) -> String {
        format!("s3://{}/{}", self.bucket(kind), session_prefix(session))
    }

    /// `s3://{bucket}/{key}` of an asset.
    pub fn asset_uri(&self, kind: DatasetKind, session: &SessionName, path: &str) -> String {
        format!("s3://{}/{}", self.bucket(kind), key(session, path))
    }
}

/// `{project}/{dataset}/{session}/`.
pub fn session_prefix(session: &SessionName) -> String {
    format!(
        "{}/{}/{}/",
        session.project, session.dataset, session.session
    )
}

/// The object key of an asset. The path must have passed [`path::check`].
pub fn key(session: &SessionName, path: &str) -> String {
    format!("{}{path}", session_prefix(session))
}

/// The object key of a session's manifest, which describes it well enough to rebuild the index.
pub fn manifest_key(session: &SessionName) -> String {
    format!("{}{}/session.json", session_prefix(session), path::RESERVED)
}

/// The object key of a dataset's manifest. No session has a name like this one's folder.
pub fn dataset_manifest_key(dataset: &DatasetName) -> String {
    let DatasetName { project, dataset } = dataset;
    format!("{project}/{dataset}/{}/dataset.json", path::RESERVED)
}

/// The object key of a project's manifest, in the bucket of recordings. No dataset has a name like its folder's.
pub fn project_manifest_key(project: &ProjectName) -> String {
    format!("{}/{}/project.json", project.project, path::RESERVED)
}

/// Splits `s3://{bucket}/{key}`.
pub fn split_uri(uri: &str) -> Result<(&str, &str)> {
    uri.strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| {
            Error::invalid(
                "uri",
                format!("expected s3://BUCKET/KEY, got {}", crate::name::quote(uri)),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_the_names() {
        let session = SessionName::new("default", "recordings", "20210229_161221").unwrap();
        let layout = Layout::new("granary").unwrap();
        assert_eq!(
            layout.asset_uri(DatasetKind::Raw, &session, "camera/1.jpg"),
            "s3://granary-raw/default/recordings/20210229_161221/camera/1.jpg"
        );
        assert_eq!(
            split_uri("s3://granary-raw/a/b").unwrap(),
            ("granary-raw", "a/b")
        );
        assert!(split_uri("s3://granary-raw").is_err());
        let dataset = session.parent();
        assert_eq!(
            dataset_manifest_key(&dataset),
            "default/recordings/.granary/dataset.json"
        );
        assert_eq!(
            project_manifest_key(&dataset.parent()),
            "default/.granary/project.json"
        );
        assert!(DatasetName::new("default", path::RESERVED).is_err());
        assert!(dataset.session(path::RESERVED).is_err());
    }

    #[test]
    fn prefixes_that_make_no_bucket_are_refused() {
        for prefix in [
            "",
            "ab",
            "Granary",
            "a_b_c",
            "-abc",
            "abc-",
            &"x".repeat(51),
        ] {
            assert!(Layout::new(prefix).is_err(), "{prefix}");
        }
    }
}
