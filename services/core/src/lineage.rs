//! Where things come from: what requests name beside what they are about. All of it is of the same project. Errors have no field: say where
//! it was with [`Error::within`].

use crate::{
    Error, Result,
    name::{AssetName, JobName, RunName, SessionName, SnapshotName, quote},
};

/// What an asset was made from: an asset of the project.
pub fn source(text: &str, project: &str) -> Result<AssetName> {
    let name = AssetName::parse(text)?;
    of(project, "an asset", text, Some(&name.project))?;
    Ok(name)
}

/// What a session was made from: a session, a snapshot or an asset of the project.
pub fn origin(text: &str, project: &str) -> Result<()> {
    let found = (SessionName::parse(text).map(|name| name.project))
        .or_else(|_| SnapshotName::parse(text).map(|name| name.project))
        .or_else(|_| AssetName::parse(text).map(|name| name.project));
    of(
        project,
        "a session, a snapshot or an asset",
        text,
        found.ok().as_deref(),
    )
}

/// What made something: a job or a run of the project; nothing for what people upload.
pub fn producer(text: &str, project: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let found = (JobName::parse(text).map(|name| name.project))
        .or_else(|_| RunName::parse(text).map(|name| name.project));
    of(project, "a job or a run", text, found.ok().as_deref())
}

fn of(project: &str, what: &str, text: &str, found: Option<&str>) -> Result<()> {
    if found == Some(project) {
        return Ok(());
    }
    let got = quote(text);
    Err(Error::invalid(
        "",
        format!("expected the name of {what} of projects/{project}, got {got}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: &str = "projects/p/datasets/d/assets/a";

    #[test]
    fn what_is_named_is_of_the_kind_and_of_the_project() {
        let session = "projects/p/datasets/d/sessions/s";
        let snapshot = "projects/p/datasets/d/snapshots/n";
        let (job, run) = ("projects/p/jobs/j", "projects/p/pipelines/p/runs/r");
        source(ASSET, "p").unwrap();
        for text in [session, snapshot, ASSET] {
            origin(text, "p").unwrap();
        }
        for text in [job, run, ""] {
            producer(text, "p").unwrap();
        }
        for text in [session, snapshot, job, run, "", "a"] {
            assert!(source(text, "p").is_err(), "{text}");
        }
        for text in [job, run, "", "projects/p/datasets/d", "a/../b"] {
            assert!(origin(text, "p").is_err(), "{text}");
        }
        for text in [session, snapshot, ASSET, "projects/p", "me"] {
            assert!(producer(text, "p").is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_of_another_project_is_refused() {
        let error = source(ASSET, "q").unwrap_err().within("source").to_string();
        let expected =
            format!("source: expected the name of an asset of projects/q, got {ASSET:?}");
        assert_eq!(error, expected);
        assert!(origin(ASSET, "q").is_err());
        assert!(producer("projects/p/jobs/j", "q").is_err());
    }
}
