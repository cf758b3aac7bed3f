//! Whether a catalogue is right, as a whole: every field that is wrong is named, as `application.version.entrypoint.field`.

use std::collections::BTreeMap;

use granary_core::{
    Error, Result,
    error::Violations,
    job::{OUTPUT_KINDS, placeholder},
    name::{EntrypointName, quote},
    path,
};
use granary_proto::job::v1::{AppSpec, Entrypoint, HandlerSpec};
use prost::Message as _;

use crate::{job::request::profile, near, params, resources};

const MAX_ENTRYPOINTS: usize = 1000;
/// So that a thousand leases fit into a few messages.
const MAX_ENCODED: usize = 64 * 1024;
const OURS: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "PWD"];

/// Checks a catalogue; its entrypoints by name.
pub(crate) fn check(entrypoints: Vec<Entrypoint>) -> Result<BTreeMap<EntrypointName, Entrypoint>> {
    let mut wrong = Violations::default();
    if !(1..=MAX_ENTRYPOINTS).contains(&entrypoints.len()) {
        return Err(Error::invalid(
            "entrypoints",
            format!("expected 1 to 1000 entrypoints, got {}", entrypoints.len()),
        ));
    }
    let mut checked = BTreeMap::new();
    for (i, entrypoint) in entrypoints.into_iter().enumerate() {
        let parsed = EntrypointName::parse(&entrypoint.name)
            .map_err(|error| error.within(&format!("entrypoints[{i}].name")));
        let Some(name) = wrong.check(parsed)? else {
            continue;
        };
        let field = format!("{}.{}.{}", name.application, name.version, name.entrypoint);
        one(&field, &entrypoint, &mut wrong);
        if checked
            .insert(
                name,
                Entrypoint {
                    update_time: None,
                    ..entrypoint
                },
            )
            .is_some()
        {
            wrong.add(field, "is there twice");
        }
    }
    wrong.finish()?;
    Ok(checked)
}

fn one(field: &str, entrypoint: &Entrypoint, wrong: &mut Violations) {
    if entrypoint.encoded_len() > MAX_ENCODED {
        wrong.add(
            field,
            format!(
                "expected a definition of at most 64 KiB, got {} KiB",
                entrypoint.encoded_len() / 1024
            ),
        );
    }
    match &entrypoint.app {
        Some(app) => command(field, app, entrypoint, wrong),
        None => wrong.add(format!("{field}.app"), "is required"),
    }
    if let Some(handler) = &entrypoint.handler {
        folders(field, handler, wrong);
        profile(&format!("{field}.handler.profile"), &handler.profile, wrong);
    }
    if let Some(resources) = &entrypoint.resources {
        resources::check(&format!("{field}.resources"), resources, wrong);
    }
    params::check_specs(
        &format!("{field}.parameters"),
        &entrypoint.parameters,
        wrong,
    );
}

fn command(field: &str, app: &AppSpec, entrypoint: &Entrypoint, wrong: &mut Violations) {
    if !(1..=256).contains(&app.cmd.len()) {
        wrong.add(
            format!("{field}.app.cmd"),
            format!(
                "expected the program and its arguments, 1 to 256, got {}",
                app.cmd.len()
            ),
        );
    }
    if app
        .cmd
        .first()
        .is_some_and(|program| program.is_empty() || program.starts_with("{params."))
    {
        wrong.add(
            format!("{field}.app.cmd[0]"),
            "expected the name or the path of a program",
        );
    }
    for (i, argument) in app.cmd.iter().enumerate() {
        let field = format!("{field}.app.cmd[{i}]");
        if argument.contains('\0') {
            wrong.add(field, "expected no NUL character");
        } else if let Some(name) = placeholder(argument) {
            if !entrypoint.parameters.contains_key(name) {
                let known = near::known(name, entrypoint.parameters.keys().map(String::as_str));
                wrong.add(
                    field,
                    format!("there is no parameter {}{known}", quote(name)),
                );
            }
        } else if argument.contains("{params.") {
            wrong.add(
                field,
                format!(
                    "a placeholder must be a whole argument such as `{{params.NAME}}`, got {}",
                    quote(argument)
                ),
            );
        }
    }
    for (i, name) in app.env.iter().enumerate() {
        let legal = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.len() <= 128
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !legal {
            wrong.add(
                format!("{field}.app.env[{i}]"),
                format!(
                    "expected a name of letters, digits and `_`, got {}",
                    quote(name)
                ),
            );
        } else if OURS.contains(&name.as_str()) || name.starts_with("GRANARY_") {
            wrong.add(
                format!("{field}.app.env[{i}]"),
                format!("{name} is set by the worker and cannot be a job's"),
            );
        }
    }
}

fn folders(field: &str, handler: &HandlerSpec, wrong: &mut Violations) {
    let down = handler
        .files_down
        .iter()
        .map(|(key, folder)| (format!("{field}.handler.files_down.{key}"), folder));
    let up = handler
        .files_up
        .iter()
        .map(|(key, folder)| (format!("{field}.handler.files_up.{key}"), folder));
    let mut seen: Vec<(String, &str)> = Vec::new();
    for (field, folder) in down.chain(up) {
        if let Err(error) = path::check(folder) {
            wrong.add(
                &field,
                error.to_string().trim_start_matches("path: ").to_owned(),
            );
            continue;
        }
        // One folder for two things, or one within another, would mix what came with what goes.
        if let Some((other, _)) = seen.iter().find(|(_, there)| overlap(there, folder)) {
            wrong.add(
                &field,
                format!("the folder {} overlaps with that of {other}", quote(folder)),
            );
        }
        seen.push((field, folder));
    }
    for key in handler
        .files_up
        .keys()
        .filter(|key| !OUTPUT_KINDS.contains(&key.as_str()))
    {
        wrong.add(
            format!("{field}.handler.files_up.{key}"),
            "expected output, artifact or log",
        );
    }
    for key in handler.files_down.keys() {
        let legal = (1..=63).contains(&key.len())
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !legal {
            wrong.add(
                format!("{field}.handler.files_down"),
                format!(
                    "expected keys of 1 to 63 letters, digits, `_` and `-`, got {}",
                    quote(key)
                ),
            );
        }
    }
}

fn overlap(a: &str, b: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(a, b) || within(b, a)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
