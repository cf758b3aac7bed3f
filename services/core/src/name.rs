//! Resource names, parsed once at the border and typed from there on.
//!
//! Names follow AIP-122: `projects/p/datasets/d/sessions/s`. Nothing is ever built by joining strings elsewhere.

use std::{fmt, str::FromStr};

use crate::{Error, Result, excerpt::excerpt, id};

/// What an id may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// 1 to 63 of a-z, 0-9 and `-`, starting with a letter: ids that people choose.
    Slug,
    /// 1 to 128 of letters, digits, `_`, `-` and `.`, not starting with `.` or `-`: ids that come from outside, such as folder names.
    Opaque,
}

impl IdKind {
    /// Checks an id; the error says what is expected.
    pub fn check(self, what: &str, value: &str) -> Result<()> {
        let (ok, expected) = match self {
            Self::Slug => (
                (1..=63).contains(&value.len())
                    && value
                        .bytes()
                        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                    && value.starts_with(|c: char| c.is_ascii_lowercase()),
                "1 to 63 of a-z, 0-9 and `-`, starting with a letter",
            ),
            Self::Opaque => (
                (1..=128).contains(&value.len())
                    && value
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
                    && !value.starts_with(['.', '-']),
                "1 to 128 of letters, digits, `_`, `-` and `.`, not starting with `.` or `-`",
            ),
        };
        if ok {
            return Ok(());
        }
        Err(Error::invalid(
            what,
            format!("expected {expected}, got {}", quote(value)),
        ))
    }
}

/// Quotes a value for a message: escaped, and cut when long.
pub fn quote(value: &str) -> String {
    let (start, more) = excerpt(value, 80);
    format!("{start:?}{more}")
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $($literal:literal / $field:ident : $kind:ident)/+;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name { $(
            #[doc = concat!("The id after `", $literal, "/`.")]
            pub $field: String,
        )+ }

        impl $name {
            /// The pattern of the name.
            pub const PATTERN: &'static str = concat!($("/", $literal, "/{", stringify!($field), "}"),+);

            /// Makes a name of ids; each is checked.
            pub fn new($($field: impl Into<String>),+) -> Result<Self> {
                let name = Self { $($field: $field.into()),+ };
                $(IdKind::$kind.check(stringify!($field), &name.$field)?;)+
                Ok(name)
            }

            /// Parses a name. The error has no field: say where it was with [`Error::within`].
            pub fn parse(text: &str) -> Result<Self> {
                let mut parts = text.split('/');
                let parsed = (|| {
                    $(
                        if parts.next()? != $literal { return None; }
                        let $field = parts.next()?.to_owned();
                        IdKind::$kind.check("", &$field).ok()?;
                    )+
                    if parts.next().is_some() { return None; }
                    Some(Self { $($field),+ })
                })();
                parsed.ok_or_else(|| Error::invalid("", format!(
                    "expected a name like {}, got {}", Self::PATTERN.trim_start_matches("/"), quote(text)
                )))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(
                    write!(f, "{separator}{}/{}", $literal, self.$field)?;
                    #[allow(unused_assignments, reason = "the last one is not read")]
                    { separator = "/"; }
                )+
                Ok(())
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> { Self::parse(text) }
        }
    )+};
}

names! {
    /// The tenant.
    ProjectName = "projects"/project: Slug;
    /// A named collection of sessions.
    DatasetName = "projects"/project: Slug / "datasets"/dataset: Slug;
    /// A folder that arrived together.
    SessionName = "projects"/project: Slug / "datasets"/dataset: Slug / "sessions"/session: Opaque;
    /// One logical file.
    AssetName = "projects"/project: Slug / "datasets"/dataset: Slug / "assets"/asset: Opaque;
    /// A presigned write in progress; its id is that of the asset.
    UploadName = "projects"/project: Slug / "datasets"/dataset: Slug / "uploads"/upload: Opaque;
    /// A typed annotation.
    LabelName = "projects"/project: Slug / "datasets"/dataset: Slug / "assets"/asset: Opaque / "labels"/label: Opaque;
    /// A frozen list of assets and labels.
    SnapshotName = "projects"/project: Slug / "datasets"/dataset: Slug / "snapshots"/snapshot: Slug;
    /// A versioned definition of checks and transforms.
    PipelineName = "projects"/project: Slug / "pipelines"/pipeline: Slug;
    /// One execution of a pipeline.
    RunName = "projects"/project: Slug / "pipelines"/pipeline: Slug / "runs"/run: Opaque;
    /// What a job runs.
    EntrypointName = "applications"/application: Opaque / "versions"/version: Opaque / "entrypoints"/entrypoint: Opaque;
    /// One execution of an entrypoint.
    JobName = "projects"/project: Slug / "jobs"/job: Slug;
    /// Somebody with a role in a project, or an invitation.
    MemberName = "projects"/project: Slug / "members"/member: Opaque;
    /// A key for machines.
    ApiKeyName = "projects"/project: Slug / "apiKeys"/key: Opaque;
    /// A machine that pulls jobs.
    WorkerName = "workers"/worker: Slug;
}

impl DatasetName {
    /// The project that it is in.
    pub fn parent(&self) -> ProjectName {
        ProjectName {
            project: self.project.clone(),
        }
    }
    /// A session in it.
    pub fn session(&self, session: &str) -> Result<SessionName> {
        SessionName::new(&self.project, &self.dataset, session)
    }
}

impl SessionName {
    /// The dataset that it is in.
    pub fn parent(&self) -> DatasetName {
        DatasetName {
            project: self.project.clone(),
            dataset: self.dataset.clone(),
        }
    }
    /// The asset at a path within it; the id follows from dataset, session and path.
    pub fn asset(&self, path: &str) -> AssetName {
        AssetName {
            project: self.project.clone(),
            dataset: self.dataset.clone(),
            asset: asset_id(&self.dataset, &self.session, path),
        }
    }
}

impl AssetName {
    /// The dataset that it is in.
    pub fn parent(&self) -> DatasetName {
        DatasetName {
            project: self.project.clone(),
            dataset: self.dataset.clone(),
        }
    }
    /// The upload that fills it.
    pub fn upload(&self) -> UploadName {
        UploadName {
            project: self.project.clone(),
            dataset: self.dataset.clone(),
            upload: self.asset.clone(),
        }
    }
}

impl UploadName {
    /// The dataset that it is in.
    pub fn parent(&self) -> DatasetName {
        DatasetName {
            project: self.project.clone(),
            dataset: self.dataset.clone(),
        }
    }
    /// The asset that it fills.
    pub fn asset(&self) -> AssetName {
        AssetName {
            project: self.project.clone(),
            dataset: self.dataset.clone(),
            asset: self.upload.clone(),
        }
    }
}

impl LabelName {
    /// The asset that it annotates.
    pub fn parent(&self) -> AssetName {
        AssetName {
            project: self.project.clone(),
            dataset: self.dataset.clone(),
            asset: self.asset.clone(),
        }
    }
}

impl MemberName {
    /// The project that it is in.
    pub fn parent(&self) -> ProjectName {
        ProjectName {
            project: self.project.clone(),
        }
    }
}

impl ApiKeyName {
    /// The project that it is for.
    pub fn parent(&self) -> ProjectName {
        ProjectName {
            project: self.project.clone(),
        }
    }
}

impl SnapshotName {
    /// The dataset that it froze.
    pub fn parent(&self) -> DatasetName {
        DatasetName {
            project: self.project.clone(),
            dataset: self.dataset.clone(),
        }
    }
}

impl RunName {
    /// The pipeline that it executes.
    pub fn parent(&self) -> PipelineName {
        PipelineName {
            project: self.project.clone(),
            pipeline: self.pipeline.clone(),
        }
    }
}

/// The id of the asset at a path: 26 characters, the same wherever and whenever it is worked out, so that a repeated
/// request meets the same row and an index that is rebuilt from the store gets the same names.
pub fn asset_id(dataset: &str, session: &str, path: &str) -> String {
    id::digest(&[dataset, session, path])
}

/// Datasets of one project: one, or with `-` all (AIP-159).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetScope {
    /// The project.
    pub project: String,
    /// The dataset, or all.
    pub dataset: Option<String>,
}

impl DatasetScope {
    /// Parses `projects/{project}/datasets/{dataset or -}`.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(project) = text.strip_suffix("/datasets/-") {
            return Ok(Self {
                project: ProjectName::parse(project)?.project,
                dataset: None,
            });
        }
        let name = DatasetName::parse(text)?;
        Ok(Self {
            project: name.project,
            dataset: Some(name.dataset),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        let text = "projects/default/datasets/recordings/sessions/20210229_161221";
        assert_eq!(SessionName::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn hostile_names_are_refused() {
        for text in [
            "",
            "projects",
            "projects/",
            "projects/../datasets/d",
            "projects/p/datasets/d/",
            "/projects/p/datasets/d",
            "projects/P/datasets/d",
            "projects/p/datasets/d/sessions/s",
            "projects/p\u{0}/datasets/d",
            "projects/p/datasets/-",
        ] {
            assert!(DatasetName::parse(text).is_err(), "{text:?} was accepted");
        }
        assert!(SessionName::parse("projects/p/datasets/d/sessions/..").is_err());
    }

    #[test]
    fn the_error_shows_the_pattern_and_cuts_what_was_sent() {
        let error = DatasetName::parse(&"x".repeat(10_000))
            .unwrap_err()
            .within("name")
            .to_string();
        assert!(
            error.starts_with(
                "name: expected a name like projects/{project}/datasets/{dataset}, got \"xxx"
            ),
            "{error}"
        );
        assert!(error.len() < 200);
    }

    #[test]
    fn asset_ids_are_stable_and_tell_paths_apart() {
        assert_eq!(asset_id("d", "s", "a/b"), asset_id("d", "s", "a/b"));
        assert_ne!(asset_id("d", "s", "a/b"), asset_id("d", "s/a", "b"));
        assert_eq!(asset_id("d", "s", "a").len(), 26);
    }

    #[test]
    fn a_dash_stands_for_all_datasets() {
        let scope = DatasetScope::parse("projects/p/datasets/-").unwrap();
        assert_eq!(
            scope,
            DatasetScope {
                project: "p".into(),
                dataset: None
            }
        );
        assert!(DatasetScope::parse("projects/-/datasets/-").is_err());
    }
}
