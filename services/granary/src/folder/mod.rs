//! Folders and files of this machine that become sessions.

mod describe;
mod loose;
pub(crate) mod settle;
mod walk;

use std::path::PathBuf;

use granary_core::{name::IdKind, sidecar::Metadata};

use crate::failure::{Failure, Outcome};

pub(crate) use describe::{Choice, Described};
pub(crate) use loose::loose;

/// One file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    /// Its path within the session.
    pub(crate) path: String,
    /// Where its bytes are.
    pub(crate) source: PathBuf,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// A session as it lies on disk.
#[derive(Debug)]
pub(crate) struct Folder {
    /// What to call it in messages.
    pub(crate) label: String,
    /// The id of the session.
    pub(crate) session: String,
    /// Its files, by path.
    pub(crate) files: Vec<LocalFile>,
    /// What its file of metadata says.
    pub(crate) described: Option<Described>,
    /// What looks odd but does not stand in the way.
    pub(crate) warnings: Vec<String>,
}

impl Folder {
    /// Reads a folder: finds its files and understands its metadata. Its name becomes the session's id, unless another is given.
    pub(crate) fn read(
        root: &std::path::Path,
        session: Option<&str>,
        choice: &Choice,
    ) -> Outcome<Self> {
        let label = root.display().to_string();
        let session = match session {
            Some(session) => session.to_owned(),
            None => own_name(root)?,
        };
        let walked = walk::walk(root).map_err(|error| Failure::at(&label, error))?;
        let described = describe::describe(&walked.files, choice)
            .map_err(|problem| problem.into_failure(root))?;
        Ok(Self {
            label,
            session,
            files: walked.files,
            described,
            warnings: walked.warnings,
        })
    }

    /// Files that the metadata lists and that are not there.
    pub(crate) fn missing(&self) -> &[String] {
        self.described
            .as_ref()
            .map_or(&[], |described| &described.missing)
    }

    /// What the metadata says.
    pub(crate) fn metadata(&self) -> Option<&Metadata> {
        self.described.as_ref().map(|described| &described.metadata)
    }

    /// The sum of the files' sizes in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

fn own_name(root: &std::path::Path) -> Outcome<String> {
    let named = |error: granary_core::Error| Failure::at(root.display(), error);
    let whole = root.canonicalize().map_err(|error| {
        named(granary_core::Error::invalid(
            "",
            crate::human::io_error(&error),
        ))
    })?;
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    IdKind::Opaque
        .check("the folder's name is no session id", &name)
        .map_err(|error| match error {
            granary_core::Error::Invalid(violations) => {
                let text = violations
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                named(granary_core::Error::invalid(
                    "",
                    format!("{text}; give one with --session ID"),
                ))
            }
            other => named(other),
        })?;
    Ok(name)
}
