//! What a program is told: its arguments and its environment.

use std::collections::BTreeMap;

use granary_core::job::placeholder;
use granary_proto::{
    convert,
    job::v1::{Entrypoint, Job},
};

/// The program and its arguments: `{params.NAME}` as a whole argument is the value of a parameter, and everything else is as it was written.
pub(crate) fn arguments(entrypoint: &Entrypoint, job: &Job) -> Vec<String> {
    let command = entrypoint.app.iter().flat_map(|app| &app.cmd);
    command
        .map(|argument| {
            placeholder(argument)
                .and_then(|name| parameter(job, name))
                .unwrap_or_else(|| argument.clone())
        })
        .collect()
}

fn parameter(job: &Job, name: &str) -> Option<String> {
    Some(
        convert::value(name, job.parameters.get(name)?.clone())
            .ok()?
            .to_string(),
    )
}

/// The variables of a job: those that its entrypoint allows, its parameters, and who it is.
pub(crate) fn variables(
    entrypoint: &Entrypoint,
    job: &Job,
    attempt: i32,
) -> BTreeMap<String, String> {
    let allowed = entrypoint
        .app
        .as_ref()
        .map(|app| app.env.as_slice())
        .unwrap_or_default();
    let given = job
        .env
        .iter()
        .filter(|(name, _)| allowed.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()));
    let parameters = job.parameters.keys().filter_map(|name| {
        Some((
            format!("GRANARY_PARAM_{}", name.to_ascii_uppercase()),
            parameter(job, name)?,
        ))
    });
    let own = [
        ("GRANARY_JOB".to_owned(), job.name.clone()),
        ("GRANARY_ATTEMPT".to_owned(), attempt.to_string()),
    ];
    given.chain(parameters).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use granary_core::value::Value;
    use granary_proto::job::v1::AppSpec;

    use super::*;

    #[test]
    fn values_are_put_in_whole_and_nothing_else_is_touched() {
        let command = [
            "run",
            "{params.rate}",
            "--x={params.rate}",
            "{params.other}",
        ]
        .map(ToOwned::to_owned);
        let entrypoint = Entrypoint {
            app: Some(AppSpec {
                cmd: command.to_vec(),
                env: vec!["SEED".into()],
            }),
            ..Entrypoint::default()
        };
        let job = Job {
            name: "projects/p/jobs/j".into(),
            parameters: BTreeMap::from([("rate".into(), convert::wire_value(Value::Number(2.0)))]),
            env: BTreeMap::from([
                ("SEED".into(), "7".into()),
                ("LD_PRELOAD".into(), "evil.so".into()),
            ]),
            ..Job::default()
        };
        assert_eq!(
            arguments(&entrypoint, &job),
            ["run", "2", "--x={params.rate}", "{params.other}"]
        );
        let expected = [
            ("GRANARY_ATTEMPT", "3"),
            ("GRANARY_JOB", "projects/p/jobs/j"),
            ("GRANARY_PARAM_RATE", "2"),
            ("SEED", "7"),
        ];
        let variables = variables(&entrypoint, &job, 3);
        assert_eq!(
            variables
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect::<Vec<_>>(),
            expected
        );
    }
}
