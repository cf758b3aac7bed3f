//! Checks of what callers send, beyond what names and paths check themselves.

use granary_core::{
    Error, Result,
    name::{IdKind, ProjectName, quote},
};

/// A text of at most `max` bytes.
pub(crate) fn text(field: &str, text: &str, max: usize) -> Result<()> {
    if text.len() > max {
        return Err(Error::invalid(
            field,
            format!("expected at most {max} bytes, got {}", text.len()),
        ));
    }
    no_nul(field, text)
}

/// A text without NUL, which not every database holds.
pub(crate) fn no_nul(field: &str, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::invalid(field, "expected no NUL character"));
    }
    Ok(())
}

/// Names of what something was made from, each by a check of its own.
pub(crate) fn names<T>(
    field: &str,
    names: &[String],
    max: usize,
    check: impl Fn(&str) -> Result<T>,
) -> Result<()> {
    if names.len() > max {
        return Err(Error::invalid(
            field,
            format!("expected at most {max} names, got {}", names.len()),
        ));
    }
    for (i, name) in names.iter().enumerate() {
        check(name).map_err(|error| error.within(&format!("{field}[{i}]")))?;
    }
    Ok(())
}

/// The name of a project or of anything in it; of any project if none is given. Nothing is fine too.
pub(crate) fn resource(field: &str, text: &str, project: Option<&str>) -> Result<()> {
    let mut parts = text.split('/');
    let is_there = parts.next() == Some("projects")
        && parts.next().is_some_and(|id| match project {
            Some(project) => project == id,
            None => ProjectName::new(id).is_ok(),
        })
        && parts.all(|part| IdKind::Opaque.check("", part).is_ok());
    if is_there || text.is_empty() {
        return Ok(());
    }
    let (place, got) = (project.unwrap_or("PROJECT"), quote(text));
    Err(Error::invalid(
        field,
        format!("expected the name of something in projects/{place}, got {got}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_a_name_within_its_project() {
        let session = "projects/p/datasets/d/sessions/20210229_161221";
        for (text, project) in [
            ("", Some("p")),
            ("projects/p", Some("p")),
            (session, Some("p")),
            (session, None),
        ] {
            resource("resource", text, project).unwrap();
        }
        for (text, project) in [
            (session, Some("q")),
            ("projects", None),
            ("projects/..", None),
            ("projects/p/", Some("p")),
            ("projects/p/datasets//d", Some("p")),
            ("projects/p/../q", Some("p")),
            ("/projects/p", Some("p")),
            ("sessions/s", None),
        ] {
            let refused = resource("resource", text, project);
            assert!(refused.is_err(), "{text} in {project:?}");
        }
    }
}
