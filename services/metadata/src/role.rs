//! What members and API keys may do in their project.

use std::str::FromStr;

use granary_core::{Error, Result};

/// A role in one project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Owner,
    Editor,
    Labeler,
    Viewer,
    Worker,
}

impl Role {
    /// As it is stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Labeler => "labeler",
            Self::Viewer => "viewer",
            Self::Worker => "worker",
        }
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [
            Self::Owner,
            Self::Editor,
            Self::Labeler,
            Self::Viewer,
            Self::Worker,
        ]
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| Error::Internal {
            context: "reading a role".into(),
            cause: None,
        })
    }
}
