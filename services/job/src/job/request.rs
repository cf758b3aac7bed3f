//! A request for a job: whether it fits its entrypoint, and what the job will be.

use std::collections::BTreeMap;

use granary_core::{Result, error::Violations, name::quote};
use granary_proto::job::v1::{Entrypoint, Input, Job};

use crate::{near, params, resources};

const MAX_REFERENCES: usize = 1000;
const MAX_VALUE_BYTES: usize = 32 * 1024;

/// The job as it will be, but for its pinned inputs: what the caller may say, with defaults filled in. All that is wrong is named.
pub(crate) fn check(job: Job, entrypoint: &Entrypoint) -> Result<Job> {
    let mut wrong = Violations::default();
    inputs(&job.inputs, entrypoint, &mut wrong);
    let parameters = params::fill(&entrypoint.parameters, job.parameters, &mut wrong);
    environment(&job.env, entrypoint, &mut wrong);
    if !(0..=5).contains(&job.priority) {
        wrong.add("priority", format!("expected 0 to 5, got {}", job.priority));
    }
    if let Some(resources) = &job.resources {
        resources::check("resources", resources, &mut wrong);
    }
    profile("profile", &job.profile, &mut wrong);
    wrong.finish()?;
    Ok(Job {
        profile: job.profile,
        entrypoint: entrypoint.name.clone(),
        inputs: job.inputs,
        parameters,
        env: job.env,
        priority: job.priority,
        resources: Some(resources::merge(
            job.resources.as_ref(),
            entrypoint.resources.as_ref(),
        )),
        ..Job::default()
    })
}

/// Notes a name of a profile that no settings can have; empty is fine.
pub(crate) fn profile(field: &str, name: &str, wrong: &mut Violations) {
    let legal = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 63
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !name.is_empty() && !legal {
        wrong.add(
            field,
            format!(
                "expected 1 to 63 of a-z, 0-9 and `-`, starting with a letter, got {}",
                quote(name)
            ),
        );
    }
}

fn inputs(inputs: &[Input], entrypoint: &Entrypoint, wrong: &mut Violations) {
    let none = BTreeMap::new();
    let folders = entrypoint
        .handler
        .as_ref()
        .map_or(&none, |handler| &handler.files_down);
    if inputs
        .iter()
        .map(|input| input.references.len())
        .sum::<usize>()
        > MAX_REFERENCES
    {
        wrong.add(
            "inputs",
            "expected at most 1000 references: freeze what is needed as a snapshot, and give that",
        );
    }
    for (i, input) in inputs.iter().enumerate() {
        let field = format!("inputs[{i}].mapping");
        if !folders.contains_key(&input.mapping) {
            let known = near::known(&input.mapping, folders.keys().map(String::as_str));
            wrong.add(
                field,
                format!(
                    "the entrypoint takes no input {}{known}",
                    quote(&input.mapping)
                ),
            );
        } else if inputs
            .iter()
            .take(i)
            .any(|other| other.mapping == input.mapping)
        {
            wrong.add(
                field,
                format!(
                    "{} is there twice: put all references into one input",
                    quote(&input.mapping)
                ),
            );
        }
    }
    // What was forgotten is told from what is not needed: that is given without references.
    let given = |mapping: &String| inputs.iter().any(|input| input.mapping == *mapping);
    for mapping in folders.keys().filter(|mapping| !given(mapping)) {
        wrong.add(
            "inputs",
            format!(
                "input {} is missing: name what goes there, or give it without references if nothing does",
                quote(mapping)
            ),
        );
    }
}

fn environment(env: &BTreeMap<String, String>, entrypoint: &Entrypoint, wrong: &mut Violations) {
    let allowed = entrypoint
        .app
        .as_ref()
        .map(|app| app.env.as_slice())
        .unwrap_or_default();
    for (name, value) in env {
        let field = format!("env.{name}");
        if !allowed.contains(name) {
            let known = near::known(name, allowed.iter().map(String::as_str));
            wrong.add(
                field,
                format!("the entrypoint does not allow this variable{known}"),
            );
        } else if value.contains('\0') || value.len() > MAX_VALUE_BYTES {
            wrong.add(
                field,
                "expected at most 32 KiB of text without NUL characters",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use granary_proto::job::v1::{AppSpec, HandlerSpec};

    use super::*;

    fn entrypoint() -> Entrypoint {
        Entrypoint {
            name: "applications/a/versions/v/entrypoints/e".into(),
            app: Some(AppSpec {
                cmd: vec!["true".into()],
                env: vec!["SEED".into()],
            }),
            handler: Some(HandlerSpec {
                files_down: BTreeMap::from([("data_ids".into(), "data".into())]),
                ..HandlerSpec::default()
            }),
            ..Entrypoint::default()
        }
    }

    fn input(mapping: &str, references: &[&str]) -> Input {
        Input {
            mapping: mapping.into(),
            references: references.iter().map(ToString::to_string).collect(),
            pinned: Vec::new(),
        }
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let job = Job {
            inputs: vec![
                input("data_id", &["x"]),
                input("data_ids", &[]),
                input("data_ids", &["x"]),
            ],
            env: BTreeMap::from([
                ("LD_PRELOAD".into(), "x".into()),
                ("SEED".into(), "a\0b".into()),
            ]),
            priority: 6,
            ..Job::default()
        };
        let expected = [
            "inputs[0].mapping: the entrypoint takes no input \"data_id\" (did you mean data_ids? there is data_ids)",
            "inputs[2].mapping: \"data_ids\" is there twice: put all references into one input",
            "env.LD_PRELOAD: the entrypoint does not allow this variable (there is SEED)",
            "env.SEED: expected at most 32 KiB of text without NUL characters",
            "priority: expected 0 to 5, got 6",
        ];
        assert_eq!(
            check(job, &entrypoint()).unwrap_err().to_string(),
            expected.join("; ")
        );
    }

    #[test]
    fn an_input_that_is_forgotten_is_told_from_one_that_is_empty() {
        let message = "inputs: input \"data_ids\" is missing: name what goes there, or give it without references if nothing does";
        let error = check(Job::default(), &entrypoint()).unwrap_err();
        assert_eq!(error.to_string(), message);
        let nothing = Job {
            inputs: vec![input("data_ids", &[])],
            ..Job::default()
        };
        check(nothing, &entrypoint()).unwrap();
    }

    #[test]
    fn what_the_caller_may_not_say_is_dropped() {
        let job = Job {
            inputs: vec![input("data_ids", &["x"])],
            author: "somebody else".into(),
            trace_parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            state: 6,
            ..Job::default()
        };
        let checked = check(job, &entrypoint()).unwrap();
        assert_eq!((checked.author.as_str(), checked.state), ("", 0));
        assert_eq!(checked.trace_parent, "");
        assert_eq!(checked.resources.unwrap().cpus, 1.0);
    }
}
