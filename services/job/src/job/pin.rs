//! Inputs, pinned at submission: what a reference stands for now, so that nothing that happens later changes what a job works on. So each of them
//! must have come to its end: pipelines may still reject assets of a session that is only complete.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use granary_core::{
    Error, Result,
    name::{AssetName, DatasetName, JobName, SessionName, SnapshotName, quote},
};
use granary_proto::job::v1::{Input, Job};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::{core::Core, metadata::Metadata, state::State, store};

const AT_ONCE: usize = 8;

/// Something that a job can work on.
#[derive(Clone, Debug)]
enum Reference {
    Snapshot(SnapshotName),
    Session(SessionName),
    Asset(AssetName),
    Dataset(DatasetName),
    Job(JobName),
}

impl Reference {
    fn parse(text: &str, project: &str) -> Result<Self> {
        let parsed = SnapshotName::parse(text)
            .map(|name| (name.project.clone(), Self::Snapshot(name)))
            .or_else(|_| {
                SessionName::parse(text).map(|name| (name.project.clone(), Self::Session(name)))
            })
            .or_else(|_| {
                AssetName::parse(text).map(|name| (name.project.clone(), Self::Asset(name)))
            })
            .or_else(|_| {
                DatasetName::parse(text).map(|name| (name.project.clone(), Self::Dataset(name)))
            })
            .or_else(|_| JobName::parse(text).map(|name| (name.project.clone(), Self::Job(name))));
        match parsed {
            Ok((of, reference)) if of == project => Ok(reference),
            Ok(_) => Err(Error::invalid(
                "",
                format!(
                    "expected something of the project {project}, got {}",
                    quote(text)
                ),
            )),
            Err(_) => Err(Error::invalid(
                "",
                format!(
                    "expected the name of a snapshot, session, asset, dataset or job, got {}",
                    quote(text)
                ),
            )),
        }
    }
}

/// Pins the inputs of a job.
pub(crate) async fn inputs(
    core: &Core,
    metadata: &Metadata,
    name: &JobName,
    inputs: &[Input],
) -> Result<Vec<Input>> {
    let mut parsed = Vec::new();
    let mut wrong = granary_core::error::Violations::default();
    for (i, input) in inputs.iter().enumerate() {
        for (j, text) in input.references.iter().enumerate() {
            let field = format!("inputs[{i}].references[{j}]");
            let reference =
                Reference::parse(text, &name.project).map_err(|error| error.within(&field));
            parsed.extend(wrong.check(reference)?.map(|reference| (i, reference)));
        }
    }
    wrong.finish()?;
    let pinned: Vec<(usize, String)> = stream::iter(parsed)
        .map(|(i, reference)| async move {
            Ok::<_, Error>((i, one(core, metadata, name, &reference).await?))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut inputs: Vec<Input> = inputs
        .iter()
        .map(|input| Input {
            pinned: Vec::new(),
            ..input.clone()
        })
        .collect();
    for (i, name) in pinned {
        if let Some(input) = inputs.get_mut(i)
            && !input.pinned.contains(&name)
        {
            input.pinned.push(name);
        }
    }
    Ok(inputs)
}

async fn one(
    core: &Core,
    metadata: &Metadata,
    job: &JobName,
    reference: &Reference,
) -> Result<String> {
    match reference {
        Reference::Snapshot(name) => metadata.snapshot(name).await.map(|()| name.to_string()),
        Reference::Session(name) => metadata.session(name).await.map(|()| name.to_string()),
        Reference::Asset(name) => metadata.asset(name).await.map(|()| name.to_string()),
        Reference::Dataset(name) => metadata.freeze(name, freeze_request(job, name)).await,
        Reference::Job(name) => artifacts(core, metadata, name).await,
    }
}

async fn artifacts(core: &Core, metadata: &Metadata, name: &JobName) -> Result<String> {
    let row = store::jobs::find(core.db.reader(), name)
        .await?
        .ok_or_else(|| Error::not_found(name))?;
    if row.state != State::Succeeded {
        return Err(Error::precondition(
            name,
            "it has not succeeded: wait until it has, or use the artifacts of another job",
        ));
    }
    let made = Job::decode(row.outputs.as_slice())
        .map_err(|error| Error::internal("reading the outputs of a job", error))?;
    let artifacts = made.outputs.get("artifact").ok_or_else(|| {
        Error::precondition(
            name,
            "it made no artifacts: use the artifacts of another job",
        )
    })?;
    let session = SessionName::parse(artifacts)
        .map_err(|error| Error::internal("reading the outputs of a job", error))?;
    metadata.made(&session).await?;
    Ok(session.to_string())
}

// The same job asked for again must meet the snapshot that it made the first time.
fn freeze_request(job: &JobName, dataset: &DatasetName) -> String {
    let digest = Sha256::digest(format!("{job} {dataset}"));
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart_and_stay_in_their_project() {
        let parse = |text: &str| Reference::parse(text, "p");
        assert!(matches!(
            parse("projects/p/datasets/d/snapshots/s"),
            Ok(Reference::Snapshot(_))
        ));
        assert!(matches!(
            parse("projects/p/datasets/d/sessions/2021_02"),
            Ok(Reference::Session(_))
        ));
        assert!(matches!(
            parse("projects/p/datasets/d/assets/a"),
            Ok(Reference::Asset(_))
        ));
        assert!(matches!(
            parse("projects/p/datasets/d"),
            Ok(Reference::Dataset(_))
        ));
        assert!(matches!(parse("projects/p/jobs/j"), Ok(Reference::Job(_))));
        assert!(
            parse("projects/q/jobs/j")
                .unwrap_err()
                .to_string()
                .contains("of the project p")
        );
        assert!(parse("projects/p").is_err());
    }

    #[test]
    fn freezing_for_the_same_job_is_the_same_request() {
        let job = |id| JobName::new("p", id).unwrap();
        let dataset = DatasetName::new("p", "d").unwrap();
        assert_eq!(
            freeze_request(&job("a"), &dataset),
            freeze_request(&job("a"), &dataset)
        );
        assert_ne!(
            freeze_request(&job("a"), &dataset),
            freeze_request(&job("b"), &dataset)
        );
    }
}
