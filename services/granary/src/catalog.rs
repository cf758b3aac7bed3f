//! The catalogue as people write it: application, version, entrypoint, with resources in units.
//!
//! ```yaml
//! summary:
//!   v1:
//!     train:
//!       app: { cmd: [python3, train.py, "{params.level}"], env: [LAB] }
//!       handler: { image_url: lab/train:1, network: true, profile: gpu, files_down: { data_ids: data }, files_up: { output: output } }
//!       resources: { memory: 512MiB, cpus: 1, gpus: 0, timeout: 10m }
//!       parameters: { level: { type: number, default: 1, description: "..." } }
//! ```
//!
//! DECODE's `aws_resources: { hardware: { MEMORY: MB, VCPU: n, GPU: n }, timeout: seconds }` is read as `resources`.

use granary_core::{
    Error, Result,
    error::Violations,
    name::{EntrypointName, quote},
    suggest::did_you_mean,
    units::{parse_duration, parse_size},
};
use granary_proto::job::v1::Entrypoint;
use serde_json::{Map, Value as Json, json};

use crate::yaml::{self, found, join};

const FIELDS: [&str; 5] = ["app", "handler", "resources", "aws_resources", "parameters"];
const RESOURCES: [&str; 4] = ["memory", "cpus", "gpus", "timeout"];

type Object = Map<String, Json>;

/// The entrypoints of a catalogue; every mistake in it is found at once.
pub(crate) fn entrypoints(catalog: &Json) -> Result<Vec<Entrypoint>> {
    let mut violations = Violations::default();
    let mut entrypoints = Vec::new();
    for (application, versions) in object("", catalog, "applications")? {
        let Some(versions) = violations.check(object(application, versions, "versions"))? else {
            continue;
        };
        for (version, entries) in versions {
            let path = join(application, version);
            let Some(entries) = violations.check(object(&path, entries, "entrypoints"))? else {
                continue;
            };
            for (entrypoint, entry) in entries {
                let path = join(&path, entrypoint);
                let name = EntrypointName::new(application, version, entrypoint)
                    .map_err(|error| error.within(&path));
                let made =
                    name.and_then(|name| one(&name, entry).map_err(|error| error.within(&path)));
                entrypoints.extend(violations.check(made)?);
            }
        }
    }
    violations.finish()?;
    Ok(entrypoints)
}

fn object<'a>(path: &str, json: &'a Json, what: &str) -> Result<&'a Object> {
    json.as_object().ok_or_else(|| {
        Error::invalid(
            path,
            format!("expected names of {what}, got {}", found(json)),
        )
    })
}

fn one(name: &EntrypointName, entry: &Json) -> Result<Entrypoint> {
    let mut fields = object("", entry, "fields")?.clone();
    let mut violations = Violations::default();
    known("", &fields, &FIELDS, &mut violations);
    // What is wrong is said once and left out, so that the rest is looked at too.
    fields.retain(|name, _| FIELDS.contains(&name.as_str()));
    if let Some(Some(resources)) = violations.check(limits(&mut fields))? {
        fields.insert("resources".into(), resources);
    }
    if let Some(Json::Object(parameters)) = fields.get_mut("parameters") {
        typed_defaults(parameters, &mut violations);
    }
    let made = violations.check(yaml::message::<Entrypoint>(Json::Object(fields)))?;
    violations.finish()?;
    Ok(Entrypoint {
        name: name.to_string(),
        ..made.unwrap_or_default()
    })
}

// Takes the limits out of the fields, in whichever form they are written.
fn limits(fields: &mut Object) -> Result<Option<Json>> {
    match (fields.remove("resources"), fields.remove("aws_resources")) {
        (Some(_), Some(_)) => Err(Error::invalid(
            "",
            "\"resources\" and \"aws_resources\" exclude each other",
        )),
        (Some(Json::Null), None) | (None, Some(Json::Null) | None) => Ok(None),
        (Some(own), None) => resources(&own)
            .map(Some)
            .map_err(|error| error.within("resources")),
        (None, Some(decode)) => aws_resources(&decode)
            .map(Some)
            .map_err(|error| error.within("aws_resources")),
    }
}

fn known(path: &str, fields: &Object, names: &[&str], violations: &mut Violations) {
    for name in fields.keys().filter(|name| !names.contains(&name.as_str())) {
        violations.add(
            path,
            format!(
                "unknown field {}; {}",
                quote(name),
                did_you_mean(name, names.iter().copied())
            ),
        );
    }
}

fn resources(json: &Json) -> Result<Json> {
    let fields = object("", json, "fields")?;
    let mut violations = Violations::default();
    known("", fields, &RESOURCES, &mut violations);
    let mut made = Object::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let converted = match name.as_str() {
            "memory" => memory(value).map(|bytes| ("memory_bytes", bytes)),
            "timeout" => timeout(value).map(|duration| ("timeout", duration)),
            "cpus" => Ok(("cpus", value.clone())),
            _ => Ok(("gpus", value.clone())),
        };
        if let Some((field, value)) = violations.check(converted)? {
            made.insert(field.into(), value);
        }
    }
    violations.finish()?;
    Ok(Json::Object(made))
}

fn memory(value: &Json) -> Result<Json> {
    let bytes = match value {
        Json::String(text) => parse_size(text).map_err(|error| error.to_string()),
        other => other
            .as_u64()
            .ok_or_else(|| format!("expected a size such as 512MiB, got {}", found(other))),
    };
    bytes
        .map(|bytes| json!(bytes))
        .map_err(|error| Error::invalid("memory", error))
}

fn timeout(value: &Json) -> Result<Json> {
    let duration = match value {
        Json::String(text) => parse_duration(text).map_err(|error| error.to_string()),
        other => Err(format!(
            "expected a duration such as 10m, got {}",
            found(other)
        )),
    };
    duration
        .map(|duration| json!(format!("{}s", duration.as_secs_f64())))
        .map_err(|error| Error::invalid("timeout", error))
}

// As DECODE writes it: MEMORY in MB, which its worker counts as MiB, and the timeout in seconds.
fn aws_resources(json: &Json) -> Result<Json> {
    let fields = object("", json, "fields")?;
    let mut violations = Violations::default();
    known("", fields, &["hardware", "timeout"], &mut violations);
    let mut made = Object::new();
    let nothing = json!({});
    let hardware = object(
        "hardware",
        fields
            .get("hardware")
            .filter(|h| !h.is_null())
            .unwrap_or(&nothing),
        "fields",
    )?;
    known(
        "hardware",
        hardware,
        &["MEMORY", "VCPU", "GPU"],
        &mut violations,
    );
    for (name, field) in [
        ("MEMORY", "memory_bytes"),
        ("VCPU", "cpus"),
        ("GPU", "gpus"),
    ] {
        match hardware.get(name) {
            None | Some(Json::Null) => {}
            Some(value) => match value.as_u64() {
                Some(count) => {
                    let factor = if name == "MEMORY" { 1024 * 1024 } else { 1 };
                    made.insert(field.into(), json!(count.saturating_mul(factor)));
                }
                None => violations.add(
                    join("hardware", name),
                    format!("expected a whole number, got {}", found(value)),
                ),
            },
        }
    }
    match fields.get("timeout") {
        None | Some(Json::Null) => {}
        Some(value) => match value.as_u64() {
            Some(seconds) => _ = made.insert("timeout".into(), json!(format!("{seconds}s"))),
            None => violations.add(
                "timeout",
                format!("expected whole seconds, got {}", found(value)),
            ),
        },
    }
    violations.finish()?;
    Ok(Json::Object(made))
}

// `default: 1` stands for the typed value `default: { number: 1 }`.
fn typed_defaults(parameters: &mut Object, violations: &mut Violations) {
    for (name, parameter) in parameters {
        let Some(default) = parameter.get_mut("default") else {
            continue;
        };
        let kind = match &*default {
            Json::Number(_) => "number",
            Json::String(_) => "text",
            Json::Bool(_) => "boolean",
            Json::Null => continue,
            other => {
                violations.add(
                    format!("parameters.{name}.default"),
                    format!(
                        "expected a number, text, true or false, got {}",
                        found(other)
                    ),
                );
                *default = Json::Null;
                continue;
            }
        };
        *default = json!({ kind: default.take() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use granary_proto::metadata::v1::value::Kind;

    fn read(yaml: &str) -> Result<Vec<Entrypoint>> {
        entrypoints(&serde_yaml_ng::from_str::<Json>(yaml).unwrap())
    }

    #[test]
    fn units_and_defaults_become_what_the_server_takes() {
        let made = read(
            "summary: { v1: { train: { app: { cmd: [a, '{params.level}'] }, handler: { files_down: { data_ids: data } }, \
             resources: { memory: 512MiB, cpus: 1.5, timeout: 10m }, parameters: { level: { type: number, default: 1 } } } } }",
        )
        .unwrap();
        assert_eq!(
            made[0].name,
            "applications/summary/versions/v1/entrypoints/train"
        );
        let resources = made[0].resources.unwrap();
        assert_eq!((resources.memory_bytes, resources.cpus), (512 << 20, 1.5));
        assert_eq!(resources.timeout.unwrap().seconds, 600);
        assert_eq!(
            made[0].parameters["level"].default.as_ref().unwrap().kind,
            Some(Kind::Number(1.0))
        );
    }

    #[test]
    fn the_shape_of_decode_is_read() {
        let made = read(
            "decode: { v0_10_1: { train: { app: { cmd: [x], env: [] }, handler: { image_url: i, files_up: { log: log } }, \
             aws_resources: { hardware: { MEMORY: 1024, VCPU: 4, GPU: 1 }, timeout: 18000 } } } }",
        )
        .unwrap();
        let resources = made[0].resources.unwrap();
        assert_eq!(
            (resources.memory_bytes, resources.cpus, resources.gpus),
            (1 << 30, 4.0, 1)
        );
        assert_eq!(resources.timeout.unwrap().seconds, 18000);
    }

    #[test]
    fn mistakes_are_named_with_their_place_and_all_at_once() {
        let error = read(
            "a: { v1: { x: { ap: {}, resources: { cpu: 1 }, parameters: { p: { default: [1], typ: text } } }, y: { app: { cmd: run }, resources: { cpus: 1 } }, z: { resources: { memory: big, timeout: 5 } } } }\nb: [1]\n",
        )
        .unwrap_err()
        .to_string();
        for part in [
            "a.v1.x: unknown field \"ap\"; did you mean \"app\"?",
            "a.v1.x.resources: unknown field \"cpu\"; did you mean \"cpus\"?",
            "a.v1.x.parameters.p.default: expected a number, text, true or false, got a list",
            "a.v1.x.parameters.p: unknown field \"typ\"; did you mean \"type\"?",
            "a.v1.y.app.cmd: expected a list, got \"run\"",
            "a.v1.z.resources.memory: expected a size such as",
            "a.v1.z.resources.timeout: expected a duration such as 10m, got 5",
            "b: expected names of versions, got a list",
        ] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }
}
