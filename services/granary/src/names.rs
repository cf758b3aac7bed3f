//! Names as people write them: in full (`projects/p/datasets/d`), or as ids within the project (`d`, `d/20210229_161221`).

use granary_core::{
    Error, Result,
    name::{
        ApiKeyName, AssetName, DatasetName, EntrypointName, JobName, LabelName, MemberName,
        PipelineName, ProjectName, RunName, SessionName, SnapshotName, quote,
    },
};

fn is_full(text: &str) -> bool {
    text.starts_with("projects/")
}

fn in_two<'a>(text: &'a str, what: &str, pattern: &str) -> Result<(&'a str, &'a str)> {
    text.split_once('/').ok_or_else(|| {
        Error::invalid(
            what,
            format!("expected {pattern} or a full name, got {}", quote(text)),
        )
    })
}

/// A project, by id or full name.
pub(crate) fn project(text: &str) -> Result<ProjectName> {
    if is_full(text) {
        ProjectName::parse(text).map_err(|e| e.within("project"))
    } else {
        ProjectName::new(text)
    }
}

/// A dataset, by id or full name.
pub(crate) fn dataset(project: &ProjectName, text: &str) -> Result<DatasetName> {
    if is_full(text) {
        return DatasetName::parse(text).map_err(|error| error.within("dataset"));
    }
    DatasetName::new(&project.project, text)
}

/// A dataset, or without one all of the project, as the parent of a list.
pub(crate) fn dataset_scope(project: &ProjectName, text: Option<&str>) -> Result<String> {
    match text {
        None | Some("-") => Ok(format!("{project}/datasets/-")),
        Some(text) => Ok(dataset(project, text)?.to_string()),
    }
}

/// A session, as `DATASET/SESSION` or by full name.
pub(crate) fn session(project: &ProjectName, text: &str) -> Result<SessionName> {
    if is_full(text) {
        return SessionName::parse(text).map_err(|error| error.within("session"));
    }
    let (dataset, session) = in_two(text, "session", "DATASET/SESSION")?;
    SessionName::new(&project.project, dataset, session)
}

/// An asset, as `DATASET/SESSION/PATH`, as `DATASET/ASSET` with its id, or by full name.
pub(crate) fn asset(project: &ProjectName, text: &str) -> Result<AssetName> {
    if is_full(text) {
        return AssetName::parse(text).map_err(|error| error.within("asset"));
    }
    let (dataset, rest) = in_two(text, "asset", "DATASET/SESSION/PATH, DATASET/ASSET")?;
    match rest.split_once('/') {
        Some((session, path)) => {
            granary_core::path::check(path)?;
            Ok(SessionName::new(&project.project, dataset, session)?.asset(path))
        }
        None => AssetName::new(&project.project, dataset, rest),
    }
}

/// The error of a call for an asset in the words of who asked for it: a path has become an id on the way.
pub(crate) fn asset_as_written(error: Error, name: &AssetName, written: &str) -> Error {
    match error {
        Error::NotFound { resource } if resource == name.to_string() => {
            Error::not_found(crate::human::shown(written))
        }
        Error::AlreadyExists { resource, reason } => {
            let label = resource.strip_prefix(&format!("{name}/labels/"));
            let resource = label.map_or(resource.clone(), |label| {
                crate::human::shown(&format!("{written}/{label}"))
            });
            Error::AlreadyExists { resource, reason }
        }
        other => other,
    }
}

/// A label, as `DATASET/SESSION/PATH/LABEL`, as `DATASET/ASSET/LABEL` with the asset's id, or by full name.
pub(crate) fn label(project: &ProjectName, text: &str) -> Result<LabelName> {
    if is_full(text) {
        return LabelName::parse(text).map_err(|error| error.within("label"));
    }
    let pattern = "DATASET/SESSION/PATH/LABEL, DATASET/ASSET/LABEL";
    let (of, label) = text.rsplit_once('/').unwrap_or_default();
    if !of.contains('/') {
        return Err(Error::invalid(
            "label",
            format!("expected {pattern} or a full name, got {}", quote(text)),
        ));
    }
    let asset = asset(project, of)?;
    LabelName::new(&asset.project, &asset.dataset, &asset.asset, label)
}

/// A snapshot, as `DATASET/SNAPSHOT` or by full name.
pub(crate) fn snapshot(project: &ProjectName, text: &str) -> Result<SnapshotName> {
    if is_full(text) {
        return SnapshotName::parse(text).map_err(|error| error.within("snapshot"));
    }
    let (dataset, snapshot) = in_two(text, "snapshot", "DATASET/SNAPSHOT")?;
    SnapshotName::new(&project.project, dataset, snapshot)
}

/// A pipeline, by id or full name.
pub(crate) fn pipeline(project: &ProjectName, text: &str) -> Result<PipelineName> {
    if is_full(text) {
        return PipelineName::parse(text).map_err(|error| error.within("pipeline"));
    }
    PipelineName::new(&project.project, text)
}

/// A run, as `PIPELINE/RUN` or by full name.
pub(crate) fn run(project: &ProjectName, text: &str) -> Result<RunName> {
    if is_full(text) {
        return RunName::parse(text).map_err(|error| error.within("run"));
    }
    let (pipeline, run) = in_two(text, "run", "PIPELINE/RUN")?;
    RunName::new(&project.project, pipeline, run)
}

/// A job, by id or full name.
pub(crate) fn job(project: &ProjectName, text: &str) -> Result<JobName> {
    if is_full(text) {
        return JobName::parse(text).map_err(|error| error.within("job"));
    }
    JobName::new(&project.project, text)
}

/// A member, by id or full name.
pub(crate) fn member(project: &ProjectName, text: &str) -> Result<MemberName> {
    if is_full(text) {
        return MemberName::parse(text).map_err(|error| error.within("member"));
    }
    MemberName::new(&project.project, text)
}

/// Fails for the text of an API key: nobody is to put it on a command line.
pub(crate) fn check_no_secret(text: &str) -> Result<()> {
    if text.starts_with("granary_") {
        return Err(Error::invalid(
            "key",
            "this is the key itself: say its id, which `granary api-key list` shows",
        ));
    }
    Ok(())
}

/// An API key, by id or full name.
pub(crate) fn api_key(project: &ProjectName, text: &str) -> Result<ApiKeyName> {
    if is_full(text) {
        return ApiKeyName::parse(text).map_err(|error| error.within("key"));
    }
    ApiKeyName::new(&project.project, text)
}

/// An entrypoint, as `APPLICATION/VERSION/ENTRYPOINT` or by full name.
pub(crate) fn entrypoint(text: &str) -> Result<EntrypointName> {
    if text.starts_with("applications/") {
        return EntrypointName::parse(text).map_err(|error| error.within("entrypoint"));
    }
    let pattern = "APPLICATION/VERSION/ENTRYPOINT";
    let (application, rest) = in_two(text, "entrypoint", pattern)?;
    let (version, entrypoint) = in_two(rest, "entrypoint", pattern)?;
    EntrypointName::new(application, version, entrypoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p() -> ProjectName {
        ProjectName::new("p").unwrap()
    }

    #[test]
    fn ids_and_full_names_mean_the_same() {
        for text in ["d/s", "projects/p/datasets/d/sessions/s"] {
            assert_eq!(
                session(&p(), text).unwrap().to_string(),
                "projects/p/datasets/d/sessions/s"
            );
        }
        assert_eq!(
            dataset(&p(), "d").unwrap().to_string(),
            "projects/p/datasets/d"
        );
        assert_eq!(
            run(&p(), "pipe/r1").unwrap().to_string(),
            "projects/p/pipelines/pipe/runs/r1"
        );
        assert_eq!(
            entrypoint("a/v1/e").unwrap().to_string(),
            "applications/a/versions/v1/entrypoints/e"
        );
    }

    #[test]
    fn the_text_of_a_key_is_not_its_name_and_is_not_shown() {
        assert_eq!(
            api_key(&p(), "k1").unwrap().to_string(),
            "projects/p/apiKeys/k1"
        );
        assert!(check_no_secret("k1").is_ok());
        let error = check_no_secret("granary_hunter2").unwrap_err().to_string();
        assert!(
            error.contains("say its id") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn an_asset_is_found_by_its_path() {
        let by_path = asset(&p(), "d/s/camera/1.jpg").unwrap();
        assert_eq!(
            by_path.asset,
            granary_core::name::asset_id("d", "s", "camera/1.jpg")
        );
        assert_eq!(
            asset(&p(), &format!("d/{}", by_path.asset)).unwrap(),
            by_path
        );
        assert!(asset(&p(), "d/s/../x").is_err());
    }

    #[test]
    fn a_label_is_found_by_the_path_of_its_asset() {
        let by_path = label(&p(), "d/s/camera/1.jpg/l1").unwrap();
        let id = asset(&p(), "d/s/camera/1.jpg").unwrap().asset;
        assert_eq!(by_path, label(&p(), &format!("d/{id}/l1")).unwrap());
    }

    #[test]
    fn what_is_not_there_is_named_as_it_was_written() {
        let name = asset(&p(), "d/s/gone.jpg").unwrap();
        let said = |error: Error| asset_as_written(error, &name, "d/s/gone.jpg").to_string();
        assert_eq!(said(Error::not_found(&name)), "d/s/gone.jpg not found");
        assert_eq!(said(Error::not_found("projects/p")), "projects/p not found");
    }

    #[test]
    fn the_error_says_what_to_write() {
        let error = session(&p(), "20210229_161221").unwrap_err().to_string();
        assert_eq!(
            error,
            "session: expected DATASET/SESSION or a full name, got \"20210229_161221\""
        );
        assert!(
            label(&p(), "d/a")
                .unwrap_err()
                .to_string()
                .contains("DATASET/ASSET/LABEL")
        );
        assert!(
            dataset(&p(), "projects/p")
                .unwrap_err()
                .to_string()
                .starts_with("dataset: expected a name like")
        );
    }

    #[test]
    fn without_a_dataset_a_list_is_of_the_whole_project() {
        assert_eq!(dataset_scope(&p(), None).unwrap(), "projects/p/datasets/-");
        assert_eq!(
            dataset_scope(&p(), Some("d")).unwrap(),
            "projects/p/datasets/d"
        );
    }
}
